# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""OpenCV's way from a box to an appearance network's input, one thread: what bench/kernels/run.py sets beside framemill's crop.

A slice of a picture that is BGR already (its conversion given for free), resize to 128 x 256, blobFromImage, into f32 and u8; the same boxes
as crop_bench.c draws, from eight pictures in turn. Prints a line a case: name, type, best, median microseconds a crop.
"""

import sys
import time

import cv2
import numpy as np

CASES = [(768, 576, 30, 75), (1920, 1080, 70, 180), (1920, 1080, 250, 600)]
PICTURES, BOXES, SIZE = 8, 64, (128, 256)


def boxes(width, height, box_w, box_h):
    for i in range(BOXES):
        w, h = box_w + i * 7 % (box_w // 4), box_h + i * 11 % (box_h // 4)
        x, y = i * 131 % (width - w), i * 89 % (height - h)
        yield slice(y, y + h), slice(x, x + w)


def measure(pictures, places, depth, rounds):
    times = []
    for i in range(-2, rounds):
        start = time.perf_counter()
        for k, place in enumerate(places):
            cv2.dnn.blobFromImage(cv2.resize(pictures[k % PICTURES][place], SIZE), swapRB=True, ddepth=depth)
        if i >= 0:
            times.append((time.perf_counter() - start) * 1e6 / BOXES)
    times.sort()
    return times[0], times[len(times) // 2]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    cv2.setNumThreads(1)
    random = np.random.default_rng(1)
    for case in CASES:
        pictures = [random.integers(0, 256, (case[1], case[0], 3), np.uint8) for _ in range(PICTURES)]
        for dtype, depth in (("u8", cv2.CV_8U), ("f32", cv2.CV_32F)):
            best, median = measure(pictures, list(boxes(*case)), depth, rounds)
            print(f"{case[0]}x{case[1]}-{case[2]}x{case[3]} {dtype} {best:.2f} {median:.2f}", flush=True)


if __name__ == "__main__":
    main()
