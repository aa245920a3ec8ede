# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Detections made without framemill: OpenVINO's Python API runs the original model files one picture at a time, numpy
does what the models' own demos do with picture and output (YOLOX: preproc and demo_utils.py of its ONNXRuntime demo,
which cuts the letterbox's size off to whole pixels; YOLOv5 and YOLOv8: letterbox() and non_max_suppression() of
Ultralytics, one class a candidate). Slow and plain on purpose: nothing here is shared with the C code. Prints one JSON
object a frame: {"source", "frame", "width", "height", "objects": [{"class_id", "score", "box": [x, y, w, h]}]}.

Where pixels come from matters, because two neighbouring candidates of nearly the same score may swap places in the
suppression when a pixel changes by one level:
    --decode exact  the decoder's YUV (from the ffmpeg command), brought to RGB by BT.601's formulas, a chroma sample
                    for its four pixels, in float32, clipped and rounded once to the 8 bits that networks see
    --decode cv2    OpenCV's VideoCapture and 8 bit pictures, as most Python programs have it: its converter rounds
                    down at each step, which darkens by one level"""

import argparse
import json
import subprocess
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


def to_8bit(image):
    """No change for pictures that are 8 bit already."""
    return np.clip(np.rint(image), 0, 255)


def letterbox_yolox(image, size):
    """Top left, BGR, 0..255."""
    h, w = image.shape[:2]
    ratio = min(size / h, size / w)
    resized = cv2.resize(image, (int(w * ratio), int(h * ratio)), interpolation=cv2.INTER_LINEAR)
    canvas = np.full((size, size, 3), 114, image.dtype)
    canvas[: resized.shape[0], : resized.shape[1]] = to_8bit(resized)
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
    tensor = to_8bit(canvas)[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255
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


def upsample(chroma, width, height, site):
    """`repeat`: a sample for its block of pixels, as swscale has it; else linear: `left`: a sample stands on the even
    columns, `center`: between two, vertically always between."""
    if site == "repeat":
        return chroma.repeat(2, 0).repeat(2, 1)[:height, :width]
    x = (np.arange(width, dtype=np.float32) - (0.0 if site == "left" else 0.5)) / 2
    y = (np.arange(height, dtype=np.float32) - 0.5) / 2
    grid_x, grid_y = np.meshgrid(x, y)
    return cv2.remap(chroma, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def to_bgr(planes, width, height, site):
    """Limited range, BT.601."""
    count = width * height
    y = planes[:count].reshape(height, width).astype(np.float32)
    u = planes[count : count + count // 4].reshape(height // 2, width // 2).astype(np.float32)
    v = planes[count + count // 4 :].reshape(height // 2, width // 2).astype(np.float32)
    luma = (y - 16) * (255 / 219)
    pb = (upsample(u, width, height, site) - 128) * (255 / 224)
    pr = (upsample(v, width, height, site) - 128) * (255 / 224)
    kr, kg, kb = 0.299, 0.587, 0.114
    red = luma + 2 * (1 - kr) * pr
    blue = luma + 2 * (1 - kb) * pb
    green = luma - (2 * (1 - kb) * kb / kg) * pb - (2 * (1 - kr) * kr / kg) * pr
    return np.stack((blue, green, red), 2)


def video_exact(path, frames, site):
    probe = cv2.VideoCapture(path)
    width, height = int(probe.get(cv2.CAP_PROP_FRAME_WIDTH)), int(probe.get(cv2.CAP_PROP_FRAME_HEIGHT))
    probe.release()
    args = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", str(frames), "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    with subprocess.Popen(args, stdout=subprocess.PIPE) as process:
        size = width * height * 3 // 2
        while len(data := process.stdout.read(size)) == size:
            yield to_bgr(np.frombuffer(data, np.uint8), width, height, site)


def video_cv2(path, frames):
    video = cv2.VideoCapture(path)
    for _ in range(frames):
        good, image = video.read()
        if not good:
            return
        yield image


def pictures_of(path, args):
    """Frames of a video, or the one picture (its EXIF orientation applied)."""
    if Path(path).suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"):
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        yield image.astype(np.float32) if args.decode == "exact" else image
    elif args.decode == "exact":
        yield from video_exact(path, args.frames, args.chroma)
    else:
        yield from video_cv2(path, args.frames)


def main():
    parser = argparse.ArgumentParser(description="detections of an independent reference")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--detector", choices=MODELS, default="yolox-nano")
    parser.add_argument("--models", required=True, help="folder of the original weights")
    parser.add_argument("--conf", type=float, default=0.3)
    parser.add_argument("--iou", type=float, default=0.45)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--decode", choices=("exact", "cv2"), default="exact")
    parser.add_argument("--chroma", choices=("repeat", "left", "center"), default="repeat", help="for exact")
    args = parser.parse_args()
    detect = Detector(args.detector, args.models)
    for path in args.inputs:
        for number, image in enumerate(pictures_of(path, args)):
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
