# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Masks of 20 objects at 1920x1080 by numpy and OpenCV, one thread, from the numbers that masks_bench wrote: what bench/heads/run.py sets
beside framemill's.

"native" is Ultralytics' process_mask_native: all coefficients times all prototypes, the letterbox' padding cut off, cv2.resize of each mask
to the frame, zeros outside of the box, greater than 0. "cropped" does no more than it must: the product and the resize only under the box (with a border
of one cell), which is what a careful Python program would do. Prints a line a case: objects, peer, best, median milliseconds, pixels set.
"""

import sys
import time

import cv2
import numpy as np

W, H, CELLS, COEFS, OBJECTS = 1920, 1080, 160, 32, 20
CASES = ["street", "large", "frame"]
TOP = 35  # cells of padding above: 1080 rows of 1920 columns in a square
ROWS = CELLS - 2 * TOP
SCALE = W / CELLS


def native(protos, coefs, boxes):
    logits = (coefs @ protos.reshape(COEFS, -1)).reshape(OBJECTS, CELLS, CELLS)[:, TOP : CELLS - TOP]
    masks = np.zeros((OBJECTS, H, W), bool)
    for mask, one, (x0, y0, x1, y1) in zip(masks, logits, boxes):
        wide = cv2.resize(one, (W, H), interpolation=cv2.INTER_LINEAR)
        mask[y0:y1, x0:x1] = wide[y0:y1, x0:x1] > 0
    return masks


def cropped(protos, coefs, boxes):
    masks = []
    for coef, (x0, y0, x1, y1) in zip(coefs, boxes):
        left, right = max(int(x0 / SCALE) - 1, 0), min(int(x1 / SCALE) + 2, CELLS)
        top, bottom = max(int(y0 / SCALE) - 1, 0), min(int(y1 / SCALE) + 2, ROWS)
        part = protos[:, TOP + top : TOP + bottom, left:right]
        logits = (coef @ part.reshape(COEFS, -1)).reshape(bottom - top, right - left)
        x, y = int(left * SCALE), int(top * SCALE)
        size = (int((right - left) * SCALE), int((bottom - top) * SCALE))
        wide = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR)
        masks.append(wide[y0 - y : y1 - y, x0 - x : x1 - x] > 0)
    return masks


def measure(function, rounds, *args):
    times = []
    for i in range(rounds + 2):
        start = time.perf_counter()
        masks = function(*args)
        if i >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return times[0], times[len(times) // 2], sum(int(m.sum()) for m in masks)


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    cv2.setNumThreads(1)
    numbers = np.fromfile(sys.argv[1], np.float32)
    protos, rest = numbers[: COEFS * CELLS * CELLS].reshape(COEFS, CELLS, CELLS), numbers[COEFS * CELLS * CELLS :]
    for name, case in zip(CASES, rest.reshape(len(CASES), -1)):
        coefs, boxes = case[: OBJECTS * COEFS].reshape(OBJECTS, COEFS), case[OBJECTS * COEFS :].reshape(OBJECTS, 4)
        boxes = np.rint(boxes).astype(int).tolist()
        for peer in (native, cropped):
            best, median, pixels = measure(peer, rounds, protos, coefs, boxes)
            print(f"{name} {peer.__name__} {best:.4f} {median:.4f} {pixels}", flush=True)


if __name__ == "__main__":
    main()
