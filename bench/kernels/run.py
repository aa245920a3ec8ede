#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Letterbox and crops against OpenCV in one run, one thread: python3 bench/kernels/run.py BUILD_DIR [ROUNDS].

Both sides are measured several times in turn and the least time of each counts: what the code costs, without what a busy machine adds
(that would favour the shorter calls, ours). OpenCV's allocations are kept from going back to the system between calls, which would cost it page
faults.
"x" is OpenCV's time over ours for the same result in the same type: "blob" from a picture that is BGR already (the goal is 4), "yuv"
from I420, as a decoder gives it. Pictures: 1 stays in the cache, 8 in turn come from memory. Crops go into 128 x 256, microseconds each.
Run it with a Python that has opencv-python-headless and numpy (bench/requirements.txt).
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PASSES = 3
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_TOP_PAD_": str(1 << 26)}


def rows(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | KEEP_MEMORY).stdout
    return [line.split() for line in out.splitlines()]


def least(table, key, value):
    table[key] = min(table.get(key, value), value)


def collect(build, kernel, rounds):
    ours, peer = {}, {}
    for _ in range(PASSES):
        for *key, best, _ in rows([f"{build}/bench/kernels/{kernel}_bench", str(rounds)]):
            least(ours, tuple(key), float(best))
        for *key, best, _ in rows([sys.executable, str(HERE / f"{kernel}_opencv.py"), str(rounds)]):
            least(peer, tuple(key), float(best))
    return ours, peer


def letterbox(build, rounds):
    ours, peer = collect(build, "letterbox", rounds)
    print("case            fit       pictures format  level   type      ms     blob    x      yuv    x")
    for (name, fit, pictures, form, level, dtype), ms in ours.items():
        blob, yuv = peer[name, fit, pictures, dtype], peer[name, fit + "-yuv", pictures, dtype]
        print(
            f"{name:<16}{fit:<10}{pictures:>8} {form:<8}{level:<8}{dtype:<5}{ms:>7.3f}"
            f"{blob:>9.3f}{blob / ms:>5.1f}{yuv:>9.3f}{yuv / ms:>5.1f}"
        )


def crops(build, rounds):
    ours, peer = collect(build, "crop", rounds)
    print("frame-box           format  level   type      us     blob    x")
    for (name, form, level, dtype), us in ours.items():
        blob = peer[name, dtype]
        print(f"{name:<20}{form:<8}{level:<8}{dtype:<5}{us:>7.1f}{blob:>9.1f}{blob / us:>5.1f}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    letterbox(sys.argv[1], rounds)
    crops(sys.argv[1], rounds)


if __name__ == "__main__":
    main()
