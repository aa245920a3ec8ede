#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds framemill in a Debian 12 with nothing but sh and apt and installs it into PREFIX, with the list of Debian packages
# that it needs to run. With a folder of a libtorch for CUDA (PyTorch's wheel is one) also the plug-in for NVIDIA GPUs.
# Used by the Dockerfiles; tests/tools/check_image.sh runs it in a chroot.
set -eu
prefix=${1:?usage: build.sh PREFIX [TORCH_DIR CUDA_DIR]}
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
./bootstrap deps
set -- "-Dprefix=$prefix" --buildtype=release -Dtests=false ${2:+"-Dtorch_dir=$2"} ${3:+"-Dtorch_cuda_dir=$3"}
meson setup build-image "$@"
ninja -C build-image
meson install -C build-image --no-rebuild
mkdir -p "$prefix/image"
cp deploy/image/runtime.sh deploy/image/healthy.sh "$prefix/image/"

# The packages behind the shared objects that ours are linked with.
find "$prefix" -type f \( -name framemill -o -name 'libframemill.so*' -o -name 'framemill-torch.so' -o -name 'libopenvino*.so*' \) -exec ldd {} + |
    sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | grep -v "^$prefix" | sort -u |
    while read -r file; do dpkg-query -S "$(readlink -f "$file")" 2>/dev/null || true; done |
    sed 's/:.*//' | sort -u >"$prefix/image/packages"
test -s "$prefix/image/packages"
