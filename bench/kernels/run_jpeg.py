#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""JPEG of a video's frames, one thread: ours at each CPU level, libturbojpeg in the same binary, cv2.imencode of BGR pictures, in turns.

    .deps/bench/bin/python3 bench/kernels/run_jpeg.py BUILD_DIR VIDEO [QUALITY] [ROUNDS]

Processor milliseconds a frame, least of all rounds; "x" is libturbojpeg's time (accurate DCT) over each."""

import pathlib
import subprocess
import sys
import tempfile
import time

import cv2

PASSES, FRAMES = 3, 60


def read(video):
    cap, frames = cv2.VideoCapture(video), []
    while len(frames) < FRAMES:
        ok, frame = cap.read()
        if not ok:
            break
        frames.append(frame)
    return frames


def opencv(frames, quality):
    start, size = time.thread_time(), 0
    for f in frames:
        size += len(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
    return (time.thread_time() - start) * 1e3 / len(frames), size // len(frames)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, video = sys.argv[1:3]
    quality, rounds = (int(sys.argv[3]) if len(sys.argv) > 3 else 85), (int(sys.argv[4]) if len(sys.argv) > 4 else 9)
    cv2.setNumThreads(1)
    frames, best = read(video), {}
    height, width = frames[0].shape[:2]
    with tempfile.NamedTemporaryFile(suffix=".yuv") as raw:
        for f in frames:
            raw.write(cv2.cvtColor(f, cv2.COLOR_BGR2YUV_I420).tobytes())
        raw.flush()
        command = [str(pathlib.Path(build) / "bench/kernels/jpeg_bench"), raw.name, str(width), str(height), str(quality), str(rounds)]
        for _ in range(PASSES):
            for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
                name, least, _, size = line.split()
                best[name] = min(best.get(name, (1e9, 0)), (float(least), int(size)))
            for _ in range(rounds):
                best["cv2.imencode"] = min(best.get("cv2.imencode", (1e9, 0)), opencv(frames, quality))
    print(f"{width}x{height}, quality {quality}, {len(frames)} frames\n{'':<20}     ms      x    bytes")
    for name, (ms, size) in best.items():
        print(f"{name:<20}{ms:>7.3f}{best.get('libturbojpeg', (0, 0))[0] / ms:>7.2f}{size:>9}")


if __name__ == "__main__":
    main()
