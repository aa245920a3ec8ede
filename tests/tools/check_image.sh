#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The steps of deploy/Dockerfile without a container engine: its build stage in a fresh Debian 12 by debootstrap, its second
# stage in another one, and there the command as the image's user, with a root that it cannot write, on moving shapes and with the
# health check. Package sources and Python's settings are those of this machine. Needs root.
set -eu
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap"; exit 1; }
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${IMAGE_DIR:-$(mktemp -d)}
mirror=$(sed -n 's/^URIs: *//p; s/^deb \([^ ]*\) .*/\1/p' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
mounted=
finish() { for m in $mounted; do umount "$m" || true; done; mounted=; }
trap finish EXIT

fresh() { # folder
    [ -d "$1/usr" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$1" "$mirror" >"$1.log"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    cp -r /etc/apt/sources.list.d /etc/apt/apt.conf.d "$1/etc/apt/"
    rm -f "$1/etc/apt/sources.list"
    cp -r /etc/ssl/certs "$1/etc/ssl/"
    for f in /etc/pip.conf /usr/local/share/ca-certificates; do
        [ ! -e "$f" ] || { mkdir -p "$1$(dirname "$f")"; cp -r "$f" "$1$(dirname "$f")/"; }
    done
    mount -t proc proc "$1/proc"
    mounted="$1/proc $mounted"
    mount --bind /dev "$1/dev"
    mounted="$1/dev $mounted"
}

kept=$(env | grep -iE '^(https?_proxy|no_proxy|pip_|ssl_cert|requests_ca)' || true)
inside() { # folder, command
    dir=$1
    shift
    printf '%s\n' "$kept" | {
        args="$*"
        set --
        while read -r v; do [ -z "$v" ] || set -- "$@" "$v"; done
        chroot "$dir" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@" sh -c "$args"
    }
}

mkdir -p "$work"
fresh "$work/build"
rm -rf "$work/build/src"
git clone -q "$root" "$work/build/src"
inside "$work/build" "cd /src && deploy/image/build.sh /opt/framemill" >"$work/build.out" 2>&1 || { tail -n 40 "$work/build.out"; exit 1; }

rm -rf "$work/image"
fresh "$work/image"
cp -r "$work/build/opt/framemill" "$work/image/opt/"
inside "$work/image" /opt/framemill/image/runtime.sh >"$work/runtime.out" 2>&1 || { tail -n 40 "$work/runtime.out"; exit 1; }

# As the image's user, nothing writable but /data and /tmp, no capabilities.
cat >"$work/image/data/site.yaml" <<'YAML'
detector: shapes
tracker: bytetrack
out: /data/out
report: /data/report.json
streams:
  - {name: gate, url: "testsrc:320x240@25,frames=50,shapes=4"}
YAML
run_as_user() {
    unshare --mount sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount --bind "$2" "$1/data" && mount -t tmpfs tmpfs "$1/tmp" &&
        mount -t proc proc "$1/proc" && shift 2 && exec chroot --userspec=10001:10001 "$0" setpriv --no-new-privs "$@"' "$work/image" "$work/image" "$work/data" "$@"
}
rm -rf "$work/data"
cp -r "$work/image/data" "$work/data"
chown -R 10001:10001 "$work/data"
image_env="PATH=/usr/local/bin:/usr/bin:/bin HOME=/data MODEL_PATH=/models XDG_CACHE_HOME=/data/cache XDG_STATE_HOME=/data/state"
# shellcheck disable=SC2086
run_as_user /usr/bin/env -i $image_env framemill run --config /data/site.yaml
[ "$(wc -l <"$work/data/out/gate.jsonl")" = 50 ]
# shellcheck disable=SC2086
run_as_user /usr/bin/env -i $image_env /opt/framemill/image/healthy.sh
if run_as_user /usr/bin/touch /opt/written 2>/dev/null; then
    echo "the root can be written"
    exit 1
fi
# Dockerfile.ray's steps, and a configuration over a cluster of the chroot's own.
inside "$work/build" "cd /src && deploy/image/wheel.sh /wheel" >"$work/wheel.out" 2>&1 || { tail -n 40 "$work/wheel.out"; exit 1; }
rm -rf "$work/image/tmp/wheel"
cp -r "$work/build/wheel" "$work/image/tmp/wheel"
inside "$work/image" /tmp/wheel/ray.sh >"$work/ray.out" 2>&1 || { tail -n 40 "$work/ray.out"; exit 1; }
mkdir -p "$work/image/dev/shm"
inside "$work/image" "cd /data && sed '/^out:/d;/^report:/d' site.yaml >cluster.yaml && export FRAMEMILL_PYTHON=/opt/ray/bin/python3 &&
    framemill cluster run cluster.yaml --workers 1 --out /data/cluster"
[ "$(wc -l <"$work/image/data/cluster/gate.jsonl")" = 50 ]

echo "the image's steps work: $(du -sxh "$work/image" | cut -f1) in all"
[ -n "${IMAGE_DIR:-}" ] || { finish; rm -rf "$work"; }
