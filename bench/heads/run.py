#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Masks of 20 objects at 1080p against numpy and OpenCV in one run, one thread: python3 bench/heads/run.py BUILD_DIR [ROUNDS].

Both sides take the same numbers in turn, several times, and the least time of each counts. "x" is the peer's time over ours. Peers: masks_numpy.py.
The goals are 3 ms at most and at least 5 times as fast. Run it with a Python that has opencv-python-headless and numpy (bench/requirements.txt).
"""

import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PASSES = 3
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


def rows(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD).stdout
    return [line.split() for line in out.splitlines()]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, rounds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "100"
    ours, peers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        numbers = f"{folder}/numbers.raw"
        for _ in range(PASSES):
            for case, level, what, best, _, pixels in rows([f"{build}/bench/heads/masks_bench", rounds, numbers]):
                ours[case, level, what] = min(ours.get((case, level, what), (1e9,)), (float(best), pixels))
            for case, peer, best, _, pixels in rows([sys.executable, HERE / "masks_numpy.py", numbers, str(max(int(rounds) // 5, 3))]):
                peers[case, peer] = min(peers.get((case, peer), (1e9,)), (float(best), pixels))
    print("objects  level        ms   rle ms  draw ms    pixels   native     x  cropped     x   peers' pixels")
    for (case, level, what), (ms, pixels) in ours.items():
        if what == "bits":
            native, cropped = peers[case, "native"], peers[case, "cropped"]
            print(
                f"{case:<9}{level:<8}{ms:>7.3f}{ours[case, level, 'rle'][0]:>9.3f}{ours[case, level, 'draw'][0]:>9.3f}{pixels:>10}{native[0]:>9.2f}{native[0] / ms:>6.1f}"
                f"{cropped[0]:>9.2f}{cropped[0] / ms:>6.1f}  {native[1]:>9}{cropped[1]:>9}"
            )


if __name__ == "__main__":
    main()
