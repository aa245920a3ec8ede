#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Adds Ray, and the Python package whose wheel lies beside this script, to the image of the command. Used by Dockerfile.ray;
# tests/tools/check_image.sh runs it in a chroot.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=${1:-2.60.0}
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/ray
/opt/ray/bin/pip install --quiet --no-cache-dir "$(echo "$here"/framemill-*.whl)" "ray[data,default]==$version"
