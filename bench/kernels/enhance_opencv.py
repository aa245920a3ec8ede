# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What OpenCV and FFmpeg take for what enhance_bench.c measures; bench/kernels/run_enhance.py sets them side by side.

    enhance_opencv.py make PICTURE.gray      kodim01 of the data folder at 1920x1080 with noise of 5, else a drawn picture
    enhance_opencv.py measure PICTURE.gray ROUNDS

Prints a line a case: name, h, threads, peer, best milliseconds (of the processor on one thread, of the clock on two). FFmpeg's lut3d runs inside one command over frames made by its
own source; the same command without the filter is taken off.
"""

import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

W, H, TABLE, FRAMES = 1920, 1080, 33, 60
DATA = pathlib.Path(os.environ.get("FM_DATA", pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"))


def make(path):
    picture = cv2.imread(str(DATA / "sr" / "kodim01.png"), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        y, x = np.mgrid[0:512, 0:768]
        picture = (128 + 60 * np.sin(x / 17) * np.cos(y / 23) + 40 * ((x // 40 + y // 40) % 2)).clip(0, 255).astype(np.uint8)
    big = cv2.resize(picture, (W, H), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(1).normal(0, 5, big.shape)
    np.clip(big + noise, 0, 255).round().astype(np.uint8).tofile(path)


def best(function, rounds, clock=time.process_time):
    times = []
    for _ in range(rounds):
        start = clock()
        function()
        times.append((clock() - start) * 1e3)
    return min(times)


def children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def line(name, h, threads, peer, ms):
    print(f"{name} {h:g} {threads} {peer} {ms:.3f}", flush=True)


def opencv(grey, rounds):
    color = np.stack([grey, np.roll(grey, 7, 1), np.roll(grey, 9, 0)], -1)
    clahe = cv2.createCLAHE(2, (8, 8))
    for h in (3, 10, 25):
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            clock = time.process_time if threads == 1 else time.perf_counter
            line("nlm-grey", h, threads, "opencv", best(lambda: cv2.fastNlMeansDenoising(grey, None, h, 7, 21), rounds, clock))
            line("nlm-color", h, threads, "opencv", best(lambda: cv2.fastNlMeansDenoisingColored(color, None, h, h, 7, 21), rounds, clock))
    cv2.setNumThreads(1)
    line("clahe", 0, 1, "opencv", best(lambda: clahe.apply(grey), 4 * rounds))
    big = (2 * W, 2 * H)  # OpenCV's Lanczos has four lobes and does not widen when it shrinks: compared growing only
    line("lanczos-x2", 0, 1, "opencv", best(lambda: cv2.resize(grey, big, interpolation=cv2.INTER_LANCZOS4), 4 * rounds))


def ffmpeg(rounds):
    if not shutil.which("ffmpeg"):
        return
    with tempfile.TemporaryDirectory() as folder:
        cube = pathlib.Path(folder) / "table.cube"
        top = TABLE - 1
        entries = [f"{(r / top) ** 2:.6f} {(r + g) / (2 * top):.6f} {b / top:.6f}" for b in range(TABLE) for g in range(TABLE) for r in range(TABLE)]
        cube.write_text("\n".join([f"LUT_3D_SIZE {TABLE}", *entries]) + "\n")
        source = f"testsrc2=size={W}x{H}:rate=30,format=rgb24,loop=loop=-1:size=1,trim=end_frame={FRAMES}"

        def run(filters):
            command = ["ffmpeg", "-v", "error", "-filter_threads", "1", "-f", "lavfi", "-i", source, "-vf", filters, "-f", "null", "-"]
            subprocess.run(command, check=True)

        with_table, without = best(lambda: run(f"lut3d=file={cube}:interp=tetrahedral"), rounds, children), best(lambda: run("null"), rounds, children)
        line("lut3d", 0, 1, "ffmpeg", (with_table - without) / FRAMES)


def main():
    if sys.argv[1] == "make":
        make(sys.argv[2])
        return
    grey, rounds = np.fromfile(sys.argv[2], np.uint8).reshape(H, W), int(sys.argv[3])
    opencv(grey, rounds)
    ffmpeg(rounds)


if __name__ == "__main__":
    main()
