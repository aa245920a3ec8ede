# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Detections made without framemill: OpenCV decodes, resizes and pads, OpenVINO's Python API runs the original
model files one picture at a time, numpy does what the models' own demos do with the output (YOLOX: demo_utils.py of
its ONNXRuntime demo, whose letterbox cuts the size off to whole pixels; YOLOv5 and YOLOv8: LoadImages, letterbox() and
non_max_suppression() of Ultralytics, one class a candidate). Slow and plain on purpose: nothing here is shared with
the C code. Prints one JSON object a frame: {"source", "frame", "width", "height", "objects": [{"class_id", "score",
"box": [x, y, w, h]}]}."""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino as ov

MODELS = {
    "yolox-nano": {"file": "yolox_nano.onnx", "head": "yolox", "unit": False},
    "yolov5n": {"file": "yolov5n_fp16_ir.xml", "head": "yolov5", "unit": False},
    "yolov8n": {"file": "yolov8n_dyn.xml", "head": "yolov8", "unit": True},
}


def letterbox_yolox(image, size):
    """Top left, BGR, 0..255."""
    h, w = image.shape[:2]
    ratio = min(size / h, size / w)
    resized = cv2.resize(image, (int(w * ratio), int(h * ratio)), interpolation=cv2.INTER_LINEAR)
    canvas = np.full((size, size, 3), 114, np.uint8)
    canvas[: resized.shape[0], : resized.shape[1]] = resized
    tensor = canvas.transpose(2, 0, 1).astype(np.float32)
    return tensor[None], ratio, 0.0, 0.0


def letterbox_ultralytics(image, size):
    """Middle, RGB, 0..1."""
    h, w = image.shape[:2]
    ratio = min(size / h, size / w)
    new_w, new_h = round(w * ratio), round(h * ratio)
    pad_x, pad_y = (size - new_w) / 2, (size - new_h) / 2
    if (w, h) != (new_w, new_h):
        image = cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
    top, bottom = round(pad_y - 0.1), round(pad_y + 0.1)
    left, right = round(pad_x - 0.1), round(pad_x + 0.1)
    canvas = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    tensor = canvas[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255
    return np.ascontiguousarray(tensor)[None], ratio, pad_x, pad_y


def head_yolox(out, size):
    grids, strides = [], []
    for stride in (8, 16, 32):
        n = size // stride
        x, y = np.meshgrid(np.arange(n), np.arange(n))
        grids.append(np.stack((x, y), 2).reshape(-1, 2))
        strides.append(np.full((n * n, 1), stride))
    grids, strides = np.concatenate(grids), np.concatenate(strides)
    center = (out[:, :2] + grids) * strides
    extent = np.exp(out[:, 2:4]) * strides
    return center, extent, out[:, 4:5] * out[:, 5:]


def head_yolov5(out, _size):
    return out[:, :2], out[:, 2:4], out[:, 4:5] * out[:, 5:]


def head_yolov8(out, _size):
    out = out.T
    return out[:, :2], out[:, 2:4], out[:, 4:]


def overlap(box, others):
    w = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    h = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    both = np.clip(w, 0, None) * np.clip(h, 0, None)
    area = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return both / ((box[2] - box[0]) * (box[3] - box[1]) + area - both)


def suppress(boxes, scores, classes, iou):
    """Greedy, class by class; indices of what stays, best first."""
    kept = []
    for c in np.unique(classes):
        rest = np.flatnonzero(classes == c)
        rest = rest[np.argsort(-scores[rest], kind="stable")]
        while rest.size:
            kept.append(rest[0])
            rest = rest[1:][overlap(boxes[rest[0]], boxes[rest[1:]]) <= iou]
    return sorted(kept, key=lambda i: -scores[i])


class Detector:
    def __init__(self, name, folder):
        self.spec = MODELS[name]
        core = ov.Core()
        model = core.read_model(Path(folder) / self.spec["file"])
        shape = model.inputs[0].partial_shape
        self.size = shape[2].get_length()
        model.reshape([1, 3, self.size, self.size])
        self.net = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.letterbox = letterbox_yolox if self.spec["head"] == "yolox" else letterbox_ultralytics
        self.head = {"yolox": head_yolox, "yolov5": head_yolov5, "yolov8": head_yolov8}[self.spec["head"]]

    def __call__(self, image, conf, iou):
        tensor, ratio, pad_x, pad_y = self.letterbox(image, self.size)
        center, extent, scores = self.head(self.net(tensor)[0][0], self.size)
        if self.spec["unit"]:
            center, extent = center * self.size, extent * self.size
        classes = scores.argmax(1)
        scores = scores.max(1)
        take = scores >= conf
        center, extent, scores, classes = center[take], extent[take], scores[take], classes[take]
        boxes = np.concatenate((center - extent / 2, center + extent / 2), 1)
        kept = suppress(boxes, scores, classes, iou)
        h, w = image.shape[:2]
        boxes = (boxes - [pad_x, pad_y, pad_x, pad_y]) / ratio
        boxes = np.clip(boxes, 0, [w, h, w, h])
        return [
            {
                "class_id": int(classes[i]),
                "score": float(scores[i]),
                "box": [float(v) for v in (*boxes[i, :2], *(boxes[i, 2:] - boxes[i, :2]))],
            }
            for i in kept
        ]


def pictures_of(path, frames):
    """Frames of a video, or the one picture (its EXIF orientation applied)."""
    if Path(path).suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"):
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        if image is not None:
            yield image
        return
    video = cv2.VideoCapture(path)
    for _ in range(frames):
        good, image = video.read()
        if not good:
            return
        yield image


def main():
    parser = argparse.ArgumentParser(description="detections of an independent reference")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--detector", choices=MODELS, default="yolox-nano")
    parser.add_argument("--models", required=True, help="folder of the original weights")
    parser.add_argument("--conf", type=float, default=0.3)
    parser.add_argument("--iou", type=float, default=0.45)
    parser.add_argument("--frames", type=int, default=100)
    args = parser.parse_args()
    detect = Detector(args.detector, args.models)
    for path in args.inputs:
        for number, image in enumerate(pictures_of(path, args.frames)):
            json.dump(
                {
                    "source": path,
                    "frame": number,
                    "width": image.shape[1],
                    "height": image.shape[0],
                    "objects": detect(image, args.conf, args.iou),
                },
                sys.stdout,
            )
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
