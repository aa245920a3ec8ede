# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""How good detectors are: python3 evaluate.py CLASSES.txt VAL.json MODEL [MODEL...] --yolox yolox_nano_dyn.xml --coco-names coco80.txt

MODEL is RUN/best.pt, RUN/checkpoint.pt or a file that export.py wrote. AP50 of each class and its mean over the classes with 10 objects or more, difficult
ones not counted. With --video and --people (MOT's text): people in every --every-th frame, the largest recall at precision 0.85 or more with its
threshold, and both at threshold 0.5. --json FILE keeps the numbers."""
import argparse
import json
import pathlib

import cv2
import numpy as np
import torch

from data import Pictures, read_classes
from detect import Exported, Trained, YoloxNano, over
from measure import by_class, curve
from model import restored

ENOUGH, PRECISION, LEAST = 10, 0.85, 0.5


def on_pictures(detector, pictures, classes):
    ap, counts = by_class(over(detector, pictures.images), list(zip(pictures.boxes, pictures.labels, pictures.difficult)), len(classes))
    enough = counts >= ENOUGH
    return {"mAP50": float(ap[enough].mean()) if enough.any() else 0.0, "classes": int(enough.sum()), "AP50": dict(zip(classes, ap.tolist())),
            "objects": dict(zip(classes, counts.tolist()))}


def read_people(path):
    frames = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        frame, _, x, y, w, h, *rest = (float(v) for v in line.split(","))
        if not rest or rest[0] != 0:
            frames.setdefault(int(frame), []).append([x, y, x + w, y + h])
    return {k: np.array(v) for k, v in frames.items()}


def read_frames(path, every):
    """Of a video every frame of that many: its number from 1, RGB."""
    video, number = cv2.VideoCapture(str(path)), 0
    while True:
        there, frame = video.read()
        if not there:
            return
        number += 1
        if (number - 1) % every == 0:
            yield number, np.ascontiguousarray(frame[:, :, ::-1])


def on_video(detector, frames, people, person):
    results, truths = [], []
    for number, frame in frames:
        boxes, scores, labels = detector([frame])[0]
        results.append((boxes[labels == person], scores[labels == person]))
        truths.append(people.get(number, np.zeros((0, 4))))
    scores, recall, precision = curve(results, truths)
    if not len(scores):
        return {"frames": len(results), "recall": 0.0, "threshold": None}
    good = np.flatnonzero(precision >= PRECISION)
    best = int(good[recall[good].argmax()]) if len(good) else 0
    half = max(int((scores >= LEAST).sum()) - 1, 0)
    return {"frames": len(results), "recall": float(recall[best]) if len(good) else 0.0, "precision": float(precision[best]), "threshold": float(scores[best]),
            "recall_at_half": float(recall[half]), "precision_at_half": float(precision[half])}


def load(path, size):
    if path.suffix != ".pt":
        return Exported(path, size)
    state = torch.load(path, map_location="cpu")
    return Trained(restored(state.get("mean", state)), size)


def table(rows, classes):
    print(f"{'':24} {'mAP50':>6} " + " ".join(f"{name:>7.7}" for name in classes))
    for name, row in rows.items():
        print(f"{name:24.24} {row['mAP50']:6.3f} " + " ".join(f"{row['AP50'][c]:7.3f}" for c in classes))
    for name, row in rows.items():
        if "people" in row and row["people"]["threshold"] is not None:
            p = row["people"]
            print(f"{name:24.24} people, {p['frames']} frames: recall {p['recall']:.3f} at precision {p['precision']:.3f} (threshold {p['threshold']:.3f}); "
                  f"at {LEAST}: recall {p['recall_at_half']:.3f}, precision {p['precision_at_half']:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classes", type=pathlib.Path)
    parser.add_argument("val", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="*")
    parser.add_argument("--yolox", type=pathlib.Path)
    parser.add_argument("--coco-names", type=pathlib.Path)
    parser.add_argument("--video", type=pathlib.Path)
    parser.add_argument("--people", type=pathlib.Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--most", type=int, help="the first so many pictures only")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    if (args.yolox is None) != (args.coco_names is None) or (args.video is None) != (args.people is None):
        parser.error("--yolox goes with --coco-names, --video with --people")
    classes = read_classes(args.classes)
    pictures = Pictures(args.val, classes, args.most)
    detectors = {str(path): load(path, args.size) for path in args.models}
    if args.yolox:
        detectors["yolox-nano"] = YoloxNano(args.yolox, read_classes(args.coco_names), classes, args.size)
    rows = {}
    for name, detector in detectors.items():
        rows[name] = on_pictures(detector, pictures, classes)
        if args.video:
            rows[name]["people"] = on_video(detector, read_frames(args.video, args.every), read_people(args.people), classes.index("person"))
    table(rows, classes)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
