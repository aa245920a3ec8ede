#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the Python package, library within, as a wheel in FOLDER, in a Debian 12 with nothing but sh and apt. Used by
# Dockerfile.ray; tests/tools/check_image.sh runs it in a chroot.
set -eu
out=${1:?usage: wheel.sh FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
./bootstrap deps
python3 -m venv build-wheel
build-wheel/bin/pip wheel --quiet --no-deps --wheel-dir "$out" ./python
cp deploy/image/ray.sh "$out/"
