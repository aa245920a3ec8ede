#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The long checks, before an issue is closed: MSan on the pure modules, each optional dependency off once, fuzzing, a soak
# run, a fresh machine, the image's steps. Arguments name single parts: check_full.sh msan options fuzz soak fresh image
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
out=${FRAMEMILL_TEST_DIR:-$root/build-test}
mkdir -p "$out"
parts=${*:-msan options fuzz soak fresh image}
fuzz_seconds=${FUZZ_SECONDS:-60}
soak_seconds=${SOAK_SECONDS:-600}

say() { printf '\n== %s\n' "$*"; }

configure() { # folder, options...
    dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then meson configure "$dir" "$@"; else meson setup "$dir" "$@"; fi >/dev/null
}

check_msan() {
    say "MemorySanitizer: heads, ops"
    CC=clang CXX=clang++ configure "$out/msan" -Dfaiss=disabled -Dtorch=disabled -Db_sanitize=memory -Db_lundef=false --buildtype=debugoptimized
    meson test -C "$out/msan" -t 5 --suite heads --suite ops --suite kernel --print-errorlogs
}

check_options() {
    for option in openvino vips fetch v4l2 redis; do
        say "without $option"
        configure "$out/no-$option" "-D$option=disabled"
        ninja -C "$out/no-$option" >"$out/no-$option.log" 2>&1 || { tail -n 40 "$out/no-$option.log"; exit 1; }
        meson test -C "$out/no-$option" --no-rebuild --suite unit --suite tools --print-errorlogs
    done
}

check_fuzz() {
    CC=clang CXX=clang++ configure "$out/fuzz" -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized
    ninja -C "$out/fuzz" >"$out/fuzz.log" 2>&1 || { tail -n 40 "$out/fuzz.log"; exit 1; }
    for target in "$out"/fuzz/fuzz/fuzz_*; do
        [ -x "$target" ] && [ -f "$target" ] || continue
        name=$(basename "$target")
        say "$name for $fuzz_seconds s"
        work=$out/corpus/$name
        mkdir -p "$work"
        "$target" -max_total_time="$fuzz_seconds" -max_len=65536 -print_final_stats=0 -verbosity=0 \
            "$work" "$root/fuzz/corpus/${name#fuzz_}"
    done
}

# Memory must be flat: the second half of a long run may not grow by more than 8 MiB over the first.
check_soak() {
    say "soak, $soak_seconds s of test streams"
    ninja -C build >/dev/null
    /usr/bin/python3 tests/tools/soak.py build/cli/framemill "$soak_seconds"
}

# A Debian 12 with nothing but sh and apt, made by debootstrap.
check_fresh() {
    say "fresh machine"
    command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap"; exit 1; }
    tests/tools/fresh_machine.sh
}

# What deploy/Dockerfile does, in chroots.
check_image() {
    say "image"
    tests/tools/check_image.sh
}

for part in $parts; do
    "check_$part"
done
say "all parts passed: $parts"
