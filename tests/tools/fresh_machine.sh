#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A fresh Debian 12 by debootstrap, a clone of this repository in it, and there ./bootstrap demo (and test with FRESH_TEST=1).
# Package sources and Python's settings are those of this machine. Needs root. The folder is kept when something fails.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
chroot_dir=${FRESH_DIR:-$(mktemp -d)}
suite=bookworm

mirror=$(sed -n 's/^URIs: *//p; s/^deb \([^ ]*\) .*/\1/p' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
[ -d "$chroot_dir/usr" ] || debootstrap --variant=minbase --include=ca-certificates "$suite" "$chroot_dir" "$mirror"
cp /etc/resolv.conf "$chroot_dir/etc/resolv.conf"
cp -r /etc/apt/sources.list.d "$chroot_dir/etc/apt/" 2>/dev/null || true
cp -r /etc/apt/apt.conf.d "$chroot_dir/etc/apt/" 2>/dev/null || true
rm -f "$chroot_dir/etc/apt/sources.list"
cp -r /etc/ssl/certs "$chroot_dir/etc/ssl/"
for f in /etc/pip.conf /usr/local/share/ca-certificates; do
    [ ! -e "$f" ] || { mkdir -p "$chroot_dir$(dirname "$f")"; cp -r "$f" "$chroot_dir$(dirname "$f")/"; }
done
work=$chroot_dir/src
rm -rf "$work"
mkdir -p "$work"
git clone -q "$root" "$work/framemill"
if [ -d "$root/../shared/data" ]; then
    cp -r "$root/../shared" "$work/"
fi
mounted=
finish() { for m in $mounted; do umount "$m" || true; done; }
trap finish EXIT
for m in proc dev dev/pts sys; do
    mkdir -p "$chroot_dir/$m"
    if [ "$m" = proc ]; then mount -t proc proc "$chroot_dir/proc"; else mount --bind "/$m" "$chroot_dir/$m"; fi
    mounted="$chroot_dir/$m $mounted"
done
env_keep=$(env | grep -iE '^(https?_proxy|no_proxy|pip_|ssl_cert|requests_ca)' || true)
run() { printf '%s\n' "$env_keep" | { set --; while read -r v; do [ -z "$v" ] || set -- "$@" "$v"; done
    chroot "$chroot_dir" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@" sh -c "cd /src/framemill && $command"; }; }
command='./bootstrap demo'
run
if [ "${FRESH_TEST:-0}" = 1 ]; then
    command='./bootstrap test'
    run
fi
[ -n "${FRESH_DIR:-}" ] || { finish; mounted=; rm -rf "$chroot_dir"; }
