#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 12 fit to run the framemill that lies beside this script: its packages, a user without rights, the command on
# the path. Used by the Dockerfiles; tests/tools/check_image.sh runs it in a chroot.
set -eu
prefix=$(cd "$(dirname "$0")/.." && pwd)
apt-get update -qq
# shellcheck disable=SC2046
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates $(cat "$prefix/image/packages")
rm -rf /var/lib/apt/lists/*
groupadd --gid 10001 framemill
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin framemill
mkdir -p /data /models
chown 10001:10001 /data /models
ln -sf "$prefix/bin/framemill" /usr/local/bin/framemill
