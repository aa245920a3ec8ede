# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Photographs -> luma patches to learn from: python3 data.py PICTURES OUT.npz

Pictures on the web are JPEG, and what JPEG did to them is not to be learnt: each one is first made smaller (to 0.7 and to 0.5, Lanczos), which takes
the blocks away. That is the large picture; the small one is half of it by Pillow's antialiased bicubic, as in the measurement. Both are luma (BT.601,
16..235) in bytes. One picture in forty is held back to watch the training by."""
import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

SCALES = (0.7, 0.5)
LEAST = 64  # pixels a side of a large picture that is used
HELD_BACK = 40


def luma(image):
    rgb = np.asarray(image.convert("RGB"), dtype=np.float64)
    return (rgb @ np.array([65.481, 128.553, 24.966])) / 255 + 16


def to_bytes(y):
    return np.clip(np.rint(y), 0, 255).astype(np.uint8)


def pair(image):
    """A large picture of even sides and its small one."""
    width, height = (side - side % 2 for side in image.size)
    large = image.crop((0, 0, width, height))
    small = large.resize((width // 2, height // 2), Image.BICUBIC)
    return to_bytes(luma(large)), to_bytes(luma(small))


def pairs_of(path):
    image = Image.open(path).convert("RGB")
    for scale in SCALES:
        size = [round(side * scale) for side in image.size]
        if min(size) >= LEAST:
            yield pair(image.resize(size, Image.LANCZOS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    paths = sorted(p for p in args.pictures.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        sys.exit(f"data: no pictures in '{args.pictures}'")
    arrays, count = {}, {"train": 0, "watch": 0}
    for i, path in enumerate(paths):
        kind = "watch" if i % HELD_BACK == 0 else "train"
        for large, small in pairs_of(path):
            arrays[f"{kind}_large_{count[kind]}"] = large
            arrays[f"{kind}_small_{count[kind]}"] = small
            count[kind] += 1
        print(f"\r{i + 1} of {len(paths)} pictures", end="", file=sys.stderr)
    np.savez(args.out, **arrays)
    print(f"\n{count['train']} pairs to learn from, {count['watch']} to watch by", file=sys.stderr)


if __name__ == "__main__":
    main()
