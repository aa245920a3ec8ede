# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""An independent reference for segmenters and classifiers: OpenVINO's Python API, numpy, and OpenCV for reading pictures and for
one of the two ways to widen masks. How each network wants its input stands here as constants, on purpose not read from framemill's model files.

Resampling is written out in numpy, in float32, with the positions of OpenCV's INTER_LINEAR (pixel centres at halves, ends held), since
cv2.warpAffine rounds its weights to 1/32. A network's input is made of 8 bit numbers. ROUNDING says how: "rows" rounds after the rows
were blended, to 1/64 after the columns, and to whole numbers at the end, shares to 1/32768, which is what framemill's kernel promises; "once" at the end only. They differ by one level in a sixth of all
numbers, and quantised networks, which classify by few large steps, turn that into percents of probability."""

from pathlib import Path

import cv2
import numpy as np
import openvino as ov
from reference_detect import suppress

SPECS = {
    "yolov8n-seg": {"file": "yolov8n-seg_dyn.xml", "size": 640, "fit": "letterbox", "mean": 0, "scale": 255, "nhwc": False},
    "deeplabv3-mnv2": {"file": "deeplabv3_mnv2_pascal_dyn.xml", "size": 513, "fit": "topleft", "mean": 0, "scale": 1, "nhwc": True},
    "efficientnet-lite0": {"file": "efficientnet_lite0.onnx", "size": 224, "fit": "crop", "mean": 127.5, "scale": 127.5, "nhwc": False},
    "mobilenetv2": {"file": "mobilenet_v2_quant_dyn.xml", "size": 224, "fit": "crop", "mean": 0, "scale": 1, "nhwc": True},
}
ROUNDING = "rows"
PAD = {"letterbox": 114, "topleft": 128}
CROP_RATIO = 0.875


def weights(outputs, inputs, step, first):
    """[outputs, inputs]: output i lies at first + i * step, in inputs from the centre of the first."""
    at = np.clip(first + np.arange(outputs) * step, 0, inputs - 1)
    left = np.minimum(at.astype(int), max(inputs - 2, 0))
    w = np.zeros((outputs, inputs), np.float32)
    share = np.rint((at - left) * 32768) / 32768 if ROUNDING == "rows" else at - left
    w[np.arange(outputs), left] = 1 - share
    w[np.arange(outputs), np.minimum(left + 1, inputs - 1)] += share
    return w


def to_8bit(numbers):
    return np.clip(np.floor(numbers + np.float32(0.5)), 0, 255)


def resample(image, rows, columns):
    blended = [rows @ image[:, :, c] for c in range(image.shape[2])]
    if ROUNDING == "rows":
        samples = [to_8bit(b) @ columns.T for b in blended]
        return to_8bit(np.floor(np.stack(samples, 2) * 64 + np.float32(0.5)) / 64)
    return to_8bit(np.stack([b @ columns.T for b in blended], 2))


class Fit:
    """Geometry of one picture in an input of size x size: used part of the source, filled part of the input."""

    def __init__(self, kind, size, width, height):
        self.src = (0.0, 0.0, float(width), float(height))
        self.dst = (0, 0, size, size)
        if kind == "crop":
            side = min(width, height) * CROP_RATIO
            self.src = ((width - side) / 2, (height - side) / 2, side, side)
        else:
            ratio = min(size / width, size / height)
            w, h = round(width * ratio), round(height * ratio)
            self.dst = (0, 0, w, h) if kind == "topleft" else ((size - w) // 2, (size - h) // 2, w, h)

    def apply(self, image, size, pad):
        x, y, w, h = self.src
        left, top, cols, rows = self.dst
        height, width = image.shape[:2]
        part = resample(
            image.astype(np.float32),
            weights(rows, height, h / rows, y + h / rows / 2 - 0.5),
            weights(cols, width, w / cols, x + w / cols / 2 - 0.5),
        )
        canvas = np.full((size, size, 3), pad, np.float32)
        canvas[top : top + rows, left : left + cols] = part
        return canvas


class Model:
    def __init__(self, name, folder):
        self.spec = SPECS[name]
        size = self.spec["size"]
        core = ov.Core()
        net = core.read_model(Path(folder) / self.spec["file"])
        net.reshape([1, size, size, 3] if self.spec["nhwc"] else [1, 3, size, size])
        self.net = core.compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.dtype = net.inputs[0].element_type.to_dtype()

    def __call__(self, path):
        """(fit, raw outputs, picture's height and width)"""
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1]
        size = self.spec["size"]
        fit = Fit(self.spec["fit"], size, image.shape[1], image.shape[0])
        tensor = fit.apply(image, size, PAD.get(self.spec["fit"], 0))
        tensor = (tensor - self.spec["mean"]) / self.spec["scale"]
        tensor = tensor[None] if self.spec["nhwc"] else tensor.transpose(2, 0, 1)[None]
        result = self.net(np.ascontiguousarray(tensor).astype(self.dtype))
        return fit, [result[i] for i in range(len(result))], image.shape[:2]


def masks_exact(logits, boxes, fit, size, height, width):
    """Logits straight to the source's pixels, through the fit's own geometry; a pixel is in a box with its centre."""
    x, y, w, h = fit.src
    left, top, cols, rows = fit.dst
    cells_y, cells_x = logits.shape[1:]
    down, across = cells_y / size, cells_x / size
    wy = weights(height, cells_y, rows / h * down, ((0.5 - y) * rows / h + top) * down - 0.5)
    wx = weights(width, cells_x, cols / w * across, ((0.5 - x) * cols / w + left) * across - 0.5)
    px, py = np.arange(width) + 0.5, np.arange(height) + 0.5
    for one, box in zip(logits, boxes):
        inside = ((py >= box[1]) & (py < box[3]))[:, None] & ((px >= box[0]) & (px < box[2]))[None]
        yield (wy @ one @ wx.T > 0) & inside


def masks_native(logits, boxes, size, height, width):
    """As Ultralytics' process_mask_native does: padding cut off in whole cells, cv2's resize, crop_mask."""
    cells_y, cells_x = logits.shape[1:]
    gain = min(cells_y / height, cells_x / width)
    pad_x, pad_y = (cells_x - width * gain) / 2, (cells_y - height * gain) / 2
    top, left = round(pad_y - 0.1), round(pad_x - 0.1)
    bottom, right = round(cells_y - pad_y + 0.1), round(cells_x - pad_x + 0.1)
    px, py = np.arange(width), np.arange(height)
    for one, box in zip(logits, boxes):
        wide = cv2.resize(np.ascontiguousarray(one[top:bottom, left:right]), (width, height), interpolation=cv2.INTER_LINEAR)
        inside = ((py >= box[1]) & (py < box[3]))[:, None] & ((px >= box[0]) & (px < box[2]))[None]
        yield (wide > 0) & inside


def segment(model, path, conf, iou):
    """Objects of yolov8-seg with both kinds of masks."""
    fit, (out, protos), (height, width) = model(path)
    size = model.spec["size"]
    out, protos = out[0].T, protos[0]
    scores = out[:, 4:84]
    classes, best = scores.argmax(1), scores.max(1)
    take = best >= conf
    center, extent = out[take, :2] * size, out[take, 2:4] * size
    classes, best, coefs = classes[take], best[take], out[take, 84:]
    boxes = np.concatenate((center - extent / 2, center + extent / 2), 1)
    kept = suppress(boxes, best, classes, iou)
    left, top, cols, rows = fit.dst
    boxes = (boxes[kept] - [left, top, left, top]) * [width / cols, height / rows, width / cols, height / rows]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    logits = (coefs[kept] @ protos.reshape(len(protos), -1)).reshape(-1, *protos.shape[1:]).astype(np.float32)
    exact = list(masks_exact(logits, boxes, fit, size, height, width))
    native = list(masks_native(logits, boxes, size, height, width))
    return [
        {"class_id": int(classes[k]), "score": float(best[k]), "box": boxes[i], "exact": exact[i], "native": native[i]}
        for i, k in enumerate(kept)
    ]


def classify(model, path):
    """Probabilities of every class."""
    out = model(path)[1][0][0]
    if out.dtype == np.uint8:
        return out.astype(np.float64) / 256
    power = np.exp(out.astype(np.float64) - out.max())
    return power / power.sum()


def class_map(model, path):
    """Class of every pixel of the picture: of the cell its centre lies in."""
    fit, (ids,), (height, width) = model(path)
    left, top, cols, rows = fit.dst
    cells_y, cells_x = ids.shape[1:]
    size = model.spec["size"]
    y = ((np.arange(height) + 0.5) * rows / height + top) * cells_y / size
    x = ((np.arange(width) + 0.5) * cols / width + left) * cells_x / size
    return ids[0][np.ix_(y.astype(int), x.astype(int))]
