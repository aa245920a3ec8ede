# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Features made without framemill, against those that dump_features wrote: boxes cut out of OpenCV's arrays, cv2.resize,
the original network through OpenVINO's Python API in float32, vectors divided by their length.

    same pixels  the network's input rows that framemill wrote, through the reference's network: backend and head alone
    exact        the decoder's YUV in BT.601's formulas (see reference_detect.py), cut out and resized in float32
    cv2          OpenCV's VideoCapture, resized in 8 bit, as most Python programs have it

Prints the least and the mean cosine of each; exit 1 when one is below its floor."""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino as ov

from reference_detect import to_8bit, video_cv2, video_exact

# Floors: the cosine of any crop, and the mean of all. A pixel that is rounded the other way may move a quantised network
# by whole steps, so that its features differ more.
MODELS = {
    "osnet-x0.25": {
        "file": "osnet_x0_25_msmt17.onnx",
        "size": (128, 256),
        "layout": "nchw",
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
        "output": None,
        "floors": {"same pixels": (0.999, 0.9999), "exact": (0.99, 0.999), "cv2": (0.97, 0.99)},
    },
    # the pooled maps in front of the classifier, by the layer's name in this file
    "mobilenetv2-features": {
        "file": "tf2_mobilenet_v2_dyn.xml",
        "size": (224, 224),
        "layout": "nhwc",
        "mean": None,
        "std": None,
        "output": "Transpose_5125",
        "floors": {"same pixels": (0.999, 0.9999), "exact": (0.97, 0.985), "cv2": (0.93, 0.97)},
    },
}


class Embedder:
    def __init__(self, name, folder):
        self.spec = MODELS[name]
        core = ov.Core()
        model = core.read_model(Path(folder) / self.spec["file"])
        if self.spec["output"]:
            layer = next(op for op in model.get_ops() if op.get_friendly_name() == self.spec["output"])
            model = ov.Model([ov.opset13.result(layer.output(0))], model.get_parameters())
        width, height = self.spec["size"]
        self.shape = [1, 3, height, width] if self.spec["layout"] == "nchw" else [1, height, width, 3]
        model.reshape(self.shape)
        self.net = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def row_of(self, bgr):
        """A crop as the network's input, u8."""
        rgb = to_8bit(cv2.resize(bgr, self.spec["size"], interpolation=cv2.INTER_LINEAR))[:, :, ::-1]
        row = rgb.transpose(2, 0, 1) if self.spec["layout"] == "nchw" else rgb
        return row.astype(np.uint8).reshape(self.shape)

    def __call__(self, row):
        if self.spec["mean"]:
            shape = (1, 3, 1, 1) if self.spec["layout"] == "nchw" else (1, 1, 1, 3)
            mean, std = (np.array(self.spec[k], np.float32).reshape(shape) for k in ("mean", "std"))
            row = (row.astype(np.float32) - mean) / std
        v = np.array(self.net(row)[0], np.float64).ravel()
        return v / max(np.linalg.norm(v), 1e-12)


def boxes_by_frame(path, frames):
    found = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        number, _, x, y, w, h = (float(v) for v in line.split(",")[:6])
        if number <= frames:
            found.setdefault(int(number), []).append(np.float32([x, y, x + w, y + h]))
    return found


def cut(image, box):
    """Whole pixels, clipped, at least one."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in np.rint(box))
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return np.ascontiguousarray(image[y0 : max(min(y1, height), y0 + 1), x0 : max(min(x1, width), x0 + 1)])


def features_of(embed, pictures, boxes):
    out = []
    for number, image in enumerate(pictures, 1):
        out += [embed(embed.row_of(cut(image, box))) for box in boxes.get(number, [])]
    return np.array(out)


def verdict(what, floors, ours, reference):
    if ours.shape != reference.shape or len(ours) == 0:
        print(f"{what}: {ours.shape} features, the reference has {reference.shape}")
        return False
    cosine = (ours * reference).sum(1)
    least, mean = floors[what]
    good = cosine.min() >= least and cosine.mean() >= mean
    print(
        f"{what}: {len(cosine)} features, cosine {cosine.min():.5f} at least (floor {least}), "
        f"{cosine.mean():.6f} in the mean (floor {mean}){'' if good else ': FAILED'}"
    )
    return good


def main():
    parser = argparse.ArgumentParser(description="features of an independent reference, compared")
    parser.add_argument("dump", help="what dump_features wrote, without its ending")
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--models", required=True, help="folder of the original weights")
    parser.add_argument("--video", required=True)
    parser.add_argument("--boxes", required=True)
    parser.add_argument("--frames", type=int, required=True)
    args = parser.parse_args()
    embed, floors = Embedder(args.model, args.models), MODELS[args.model]["floors"]
    rows = np.fromfile(args.dump + ".crops", np.uint8).reshape(-1, *embed.shape)
    ours = np.fromfile(args.dump + ".features", np.float32).reshape(len(rows), -1).astype(np.float64)
    good = abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-5
    good &= verdict("same pixels", floors, ours, np.array([embed(row) for row in rows]))
    boxes = boxes_by_frame(args.boxes, args.frames)
    good &= verdict("exact", floors, ours, features_of(embed, video_exact(args.video, args.frames, "repeat"), boxes))
    good &= verdict("cv2", floors, ours, features_of(embed, video_cv2(args.video, args.frames), boxes))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
