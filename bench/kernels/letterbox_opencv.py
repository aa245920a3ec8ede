# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""OpenCV's way to a network's input, one thread: what bench/kernels/run.py sets beside framemill's letterbox.

"stretch" is resize to the whole input + blobFromImage, "letterbox" resizes to the content, adds copyMakeBorder, then blobFromImage: the same result
as framemill's fits of these names, from a picture that is BGR already, its conversion given for free. "stretch-yuv" and "letterbox-yuv"
begin with cvtColor from I420, which a video needs. Each into f32 (blobFromImage's default) and u8, over one picture and eight in turn.
Prints a line a case: name, peer, pictures, type, best, median milliseconds.
"""

import sys
import time

import cv2
import numpy as np

CASES = [(768, 576, 416), (1280, 720, 640), (1920, 1080, 416), (1920, 1080, 640), (3840, 2160, 640)]
PICTURES = 8
PAD = (114, 114, 114)


def measure(function, pictures, rounds):
    for picture in pictures:
        function(picture)
    times = []
    for i in range(rounds):
        picture = pictures[i % len(pictures)]
        start = time.perf_counter()
        function(picture)
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return times[0], times[len(times) // 2]


def peers(width, height, side, depth):
    ratio = min(side / width, side / height)
    size = (round(width * ratio), round(height * ratio))

    def blob(bgr):
        return cv2.dnn.blobFromImage(bgr, swapRB=True, ddepth=depth)

    def convert(i420):
        return cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)

    def stretch(bgr):
        return blob(cv2.resize(bgr, (side, side)))

    def letterbox(bgr):
        small = cv2.resize(bgr, size)
        return blob(cv2.copyMakeBorder(small, 0, side - size[1], 0, side - size[0], cv2.BORDER_CONSTANT, value=PAD))

    return {
        "stretch": stretch,
        "letterbox": letterbox,
        "stretch-yuv": lambda i420: stretch(convert(i420)),
        "letterbox-yuv": lambda i420: letterbox(convert(i420)),
    }


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    cv2.setNumThreads(1)
    random = np.random.default_rng(1)
    for width, height, side in CASES:
        bgr = [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(PICTURES)]
        i420 = [random.integers(0, 256, (height * 3 // 2, width), np.uint8) for _ in range(PICTURES)]
        for dtype, depth in (("u8", cv2.CV_8U), ("f32", cv2.CV_32F)):
            for name, function in peers(width, height, side, depth).items():
                source = i420 if name.endswith("yuv") else bgr
                for pictures in (1, PICTURES):
                    best, median = measure(function, source[:pictures], rounds)
                    print(f"{width}x{height}-{side} {name} {pictures} {dtype} {best:.4f} {median:.4f}", flush=True)


if __name__ == "__main__":
    main()
