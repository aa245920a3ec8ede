#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Enhancement kernels against OpenCV and FFmpeg in one run: python3 bench/kernels/run_enhance.py BUILD_DIR [PASSES].

Both sides take turns and the least time of each counts: the processor's on one thread, the clock's on two. 1920x1080. "nlm-color" is 4:4:4, as OpenCV's colour form; "nlm-video" is
4:2:0, set beside the same OpenCV time. Run it with a Python that has opencv-python and numpy.
"""

import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def collect(table, command):
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for *key, ms in (line.split() for line in out.splitlines()):
        key = tuple(key)
        table[key] = min(table.get(key, float(ms)), float(ms))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ours, peers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/picture.gray"
        script = [sys.executable, str(HERE / "enhance_opencv.py")]
        subprocess.run([*script, "make", picture], check=True)
        for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 2):
            collect(ours, [f"{sys.argv[1]}/bench/kernels/enhance_bench", picture, "3"])
            collect(peers, [*script, "measure", picture, "1"])
    print("what         h  threads level       ms  frames/s      peer        ms      x")
    for (name, h, threads, level), ms in ours.items():
        other = "nlm-color" if name == "nlm-video" else name
        found = [(peer, t) for (n, ph, pt, peer), t in peers.items() if (n, ph, pt) == (other, h, threads)]
        row = f"{name:<12}{h:>3}{threads:>8} {level:<7}{ms:>8.2f}{1000 / ms:>10.1f}"
        print(row + (f"  {found[0][0]:>8}{found[0][1]:>10.2f}{found[0][1] / ms:>7.1f}" if found else ""))


if __name__ == "__main__":
    main()
