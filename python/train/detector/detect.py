# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Networks as functions from pictures to boxes: ours as it is trained, ours as a file, and yolox-nano, whose names of COCO are turned into those of the
classes in use."""
import numpy as np
import torch

from data import as_input, letterbox
from measure import suppress
from model import boxes_of, cells

LEAST = 0.01  # scores below are not looked at
COCO_NAMES = {"aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle", "pottedplant": "potted plant", "sofa": "couch",
              "tvmonitor": "tv"}


def chosen(boxes, scores, scale, least=LEAST):
    """[A,4] boxes in the input and [A,C] scores -> boxes in the picture, scores, labels; one class a cell, as framemill's heads have it."""
    labels, best = scores.argmax(1), scores.max(1)
    few = best >= least
    boxes, best, labels = boxes[few] / scale, best[few], labels[few]
    keep = suppress(boxes, best, labels)
    return boxes[keep], best[keep], labels[keep]


class Trained:
    """A network in PyTorch."""

    def __init__(self, net, size=416):
        self.net, self.size = net.eval(), size
        self.grid = cells(size, size)

    @torch.no_grad()
    def __call__(self, images):
        fitted, scales = zip(*(letterbox(image, self.size) for image in images))
        sides, logits = self.net(as_input(np.stack(fitted)))
        boxes, scores = boxes_of(sides, *self.grid).numpy(), logits.sigmoid().numpy()
        return [chosen(*one) for one in zip(boxes, scores, scales)]


def compiled(path, size):
    import openvino
    core = openvino.Core()
    net = core.read_model(path)
    net.reshape([-1, 3, size, size])
    return core.compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def corners(b):
    return np.concatenate([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1)


class Exported:
    """A file that export.py wrote: [N,4+C,A], centre, size, logits."""

    def __init__(self, path, size=416):
        self.net, self.size = compiled(path, size), size

    def __call__(self, images):
        fitted, scales = zip(*(letterbox(image, self.size) for image in images))
        out = self.net(as_input(np.stack(fitted)).contiguous().numpy())[0].transpose(0, 2, 1)
        boxes, scores = corners(out[..., :4]), 1 / (1 + np.exp(-out[..., 4:]))
        return [chosen(*one) for one in zip(boxes, scores, scales)]


class YoloxNano:
    """YOLOX's own export with free batch (Apache-2.0): BGR bytes, boxes relative to their cells."""

    def __init__(self, path, coco_names, classes, size=416):
        self.net, self.size = compiled(path, size), size
        self.columns = [coco_names.index(COCO_NAMES.get(name, name)) for name in classes]
        centers, strides = cells(size, size)
        self.strides = strides.numpy()
        self.corner = centers.numpy() - self.strides / 2

    def __call__(self, images):
        fitted, scales = zip(*(letterbox(image, self.size) for image in images))
        x = np.stack(fitted)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        out = self.net(np.ascontiguousarray(x))[0]
        boxes = corners(np.concatenate([out[..., :2] * self.strides + self.corner, np.exp(out[..., 2:4]) * self.strides], -1))
        scores = out[..., 4:5] * out[..., 5:]
        # a cell whose best class is none of those in use says nothing of them
        scores = np.where(scores.max(-1, keepdims=True) > scores[..., self.columns].max(-1, keepdims=True), 0, scores[..., self.columns])
        return [chosen(*one) for one in zip(boxes, scores, scales)]


def over(detector, images, count=16):
    """All of the pictures, `count` at a time."""
    return [one for i in range(0, len(images), count) for one in detector(images[i:i + count])]
