# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Frames of videos, with the boxes that yolox-nano (Apache-2.0) finds in them, as further pictures to learn from: python3 distill.py CLASSES.txt OUT
VIDEO... --yolox yolox_nano_dyn.xml --coco-names coco80.txt

OUT gets the frames as JPEG and pictures.json for train.py's --more. What the teacher is SURE of becomes an object; a frame in which it half believes in
more than it is sure of is left out, since what is no object there would be learnt as background. Never give it a video that is measured on, nor a teacher
whose licence does not allow what is learnt from it to be given away under yours."""
import argparse
import json
import pathlib

import cv2
import numpy as np

from data import read_classes
from detect import YoloxNano
from evaluate import read_frames

SURE, HALF, LONGEST = 0.5, 0.25, 512


def annotated(name, image, found):
    """The list's entry of a frame, or None where the teacher is not sure."""
    boxes, scores, labels = found
    sure, half = scores >= SURE, (scores >= HALF) & (scores < SURE)
    if not sure.any() or half.sum() > sure.sum():
        return None
    h, w = image.shape[:2]
    cut = boxes[sure].clip(0, [w, h, w, h])
    return {"file": name, "width": w, "height": h, "boxes": np.round(cut, 1).tolist(), "labels": labels[sure].tolist(), "difficult": [0] * int(sure.sum())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classes", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("videos", type=pathlib.Path, nargs="+")
    parser.add_argument("--yolox", type=pathlib.Path, required=True)
    parser.add_argument("--coco-names", type=pathlib.Path, required=True)
    parser.add_argument("--every", type=int, default=10)
    args = parser.parse_args()
    teacher = YoloxNano(args.yolox, read_classes(args.coco_names), read_classes(args.classes))
    args.out.mkdir(parents=True, exist_ok=True)
    kept = []
    for video in args.videos:
        for number, frame in read_frames(video, args.every):
            scale = min(1.0, LONGEST / max(frame.shape[:2]))
            frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            one = annotated(f"{video.stem}-{number}.jpg", frame, teacher([frame])[0])
            if one:
                cv2.imwrite(str(args.out / one["file"]), frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
                kept.append(one)
    (args.out / "pictures.json").write_text(json.dumps(kept), encoding="utf-8")
    print(f"{len(kept)} frames, {sum(len(k['labels']) for k in kept)} objects")


if __name__ == "__main__":
    main()
