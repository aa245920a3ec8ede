# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures and boxes -> batches to learn from.

Annotations are COCO's JSON, or a list of {file, boxes, labels, difficult}; boxes of COCO are x, y, width, height, those of the list x0, y0, x1, y1, in
pixels; difficult objects (COCO: iscrowd) are learnt like others and do not count when measured. Pictures are decoded once and kept in memory as bytes,
made smaller where their longer side is over LONGEST. A training picture is four of them side by side (mosaic: Bochkovskiy et al. 2020, YOLOv4), each
scaled between LEAST_SCALE and MOST_SCALE, which makes small people of large ones; or one, scaled and moved. Then mirror and colour. Pictures with rare
classes come more often (Gupta et al. 2019, LVIS: repeat factors). Every number drawn hangs on seed and step only: a run that is taken up goes on as if it
had not been stopped. `letterbox` is framemill's: bilinear, at the top left, the rest 114."""
import json
import pathlib

import cv2
import numpy as np
import torch

PAD, LONGEST = 114, 512
LEAST_SCALE, MOST_SCALE = 0.3, 1.2  # of a picture fitted into the training size
LEAST_SEEN, LEAST_SIDE = 0.3, 3.0   # of an object's area, and pixels of its shorter side, that must be left of it
RARE = 0.1                          # a class in fewer than this share of the pictures comes more often
HUE, SATURATION, BRIGHTNESS = 0.015, 0.6, 0.4


def read_coco(tree, classes):
    by_id = {c["id"]: classes.index(c["name"]) for c in tree["categories"] if c["name"] in classes}
    pictures = {i["id"]: {"file": i["file_name"], "boxes": [], "labels": [], "difficult": []} for i in tree["images"]}
    for a in tree["annotations"]:
        if a["category_id"] in by_id:
            x, y, w, h = a["bbox"]
            one = pictures[a["image_id"]]
            one["boxes"].append([x, y, x + w, y + h])
            one["labels"].append(by_id[a["category_id"]])
            one["difficult"].append(int(a.get("iscrowd", 0)))
    return list(pictures.values())


def read_annotations(path, classes):
    tree = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    return tree if isinstance(tree, list) else read_coco(tree, classes)


def read_classes(path):
    return pathlib.Path(path).read_text(encoding="utf-8").split("\n")[:-1]


class Pictures:
    """Annotated pictures in memory: images [h,w,3] RGB bytes; boxes [G,4], labels [G], difficult [G] in pixels of those."""

    def __init__(self, annotations, classes, most=None):
        folder = pathlib.Path(annotations).parent
        self.images, self.boxes, self.labels, self.difficult = [], [], [], []
        for one in read_annotations(annotations, classes)[:most]:
            image = cv2.imread(str(folder / one["file"]), cv2.IMREAD_COLOR)
            if image is None:
                raise SystemExit(f"data: picture '{folder / one['file']}' cannot be read")
            self.add(image[:, :, ::-1], one)

    def add(self, image, one):
        scale = min(1.0, LONGEST / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self.images.append(np.ascontiguousarray(image))
        self.boxes.append(np.array(one["boxes"], np.float32).reshape(-1, 4) * scale)
        self.labels.append(np.array(one["labels"], np.int64))
        self.difficult.append(np.array(one["difficult"], bool))

    def extend(self, other):
        for mine, theirs in ((self.images, other.images), (self.boxes, other.boxes), (self.labels, other.labels), (self.difficult, other.difficult)):
            mine.extend(theirs)

    def shares(self, class_count):
        """How often each picture is drawn: by its rarest class, the square root of RARE over that class's share of pictures; sums to 1."""
        has = np.zeros((len(self.images), class_count), bool)
        for i, labels in enumerate(self.labels):
            has[i, labels] = True
        factor = np.maximum(1.0, np.sqrt(RARE / np.maximum(has.mean(0), 1e-3)))
        weight = np.maximum(1.0, (has * factor).max(1))
        return weight / weight.sum()


def letterbox(image, size):
    """-> [size,size,3] and the scale."""
    h, w = image.shape[:2]
    scale = size / max(h, w)
    nw, nh = max(1, round(w * scale)), max(1, round(h * scale))
    canvas = np.full((size, size, 3), PAD, np.uint8)
    canvas[:nh, :nw] = cv2.resize(image, (nw, nh), interpolation=cv2.INTER_LINEAR)
    return canvas, scale


def paste(canvas, image, boxes, scale, left, top, window):
    """Draws the picture, scaled, with its corner at left, top of the canvas, where the window x0, y0, x1, y1 lets it; -> its boxes there, cut, and
    which of them are left."""
    x0, y0, x1, y1 = window
    h, w = image.shape[:2]
    nw, nh = max(1, round(w * scale)), max(1, round(h * scale))
    small = cv2.resize(image, (nw, nh), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    a, b, c, d = max(left, x0), max(top, y0), min(left + nw, x1), min(top + nh, y1)
    if a < c and b < d:
        canvas[b:d, a:c] = small[b - top:d - top, a - left:c - left]
    moved = boxes * np.array([nw / w, nh / h] * 2, np.float32) + np.array([left, top] * 2, np.float32)
    cut = np.stack([moved[:, 0].clip(a, c), moved[:, 1].clip(b, d), moved[:, 2].clip(a, c), moved[:, 3].clip(b, d)], 1) if a < c and b < d else moved * 0
    size, full = cut[:, 2:] - cut[:, :2], moved[:, 2:] - moved[:, :2]
    seen = (size.min(1, initial=1e9) >= LEAST_SIDE) & (size.prod(1) >= LEAST_SEEN * full.prod(1))
    return cut, seen


def scale_of(rng, image, size, least, most):
    return size / max(image.shape[:2]) * np.exp(rng.uniform(np.log(least), np.log(most)))


def mosaic(pictures, picks, rng, size):
    """Four pictures around a point near the middle."""
    canvas = np.full((size, size, 3), PAD, np.uint8)
    cx, cy = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
    boxes, labels = [], []
    for k, i in enumerate(picks):
        image = pictures.images[i]
        scale = scale_of(rng, image, size, LEAST_SCALE, MOST_SCALE)
        w, h = round(image.shape[1] * scale), round(image.shape[0] * scale)
        right, below = k % 2, k // 2
        window = (cx if right else 0, cy if below else 0, size if right else cx, size if below else cy)
        left, top = cx if right else cx - w, cy if below else cy - h
        cut, seen = paste(canvas, image, pictures.boxes[i], scale, left, top, window)
        boxes.append(cut[seen])
        labels.append(pictures.labels[i][seen])
    return canvas, np.concatenate(boxes), np.concatenate(labels)


def single(pictures, i, rng, size):
    """One picture, scaled, anywhere on the canvas or cut by it."""
    image = pictures.images[i]
    canvas = np.full((size, size, 3), PAD, np.uint8)
    scale = scale_of(rng, image, size, 0.5, 1.5)
    left, top = (int(rng.uniform(min(0, size - side * scale), max(0, size - side * scale) + 1)) for side in (image.shape[1], image.shape[0]))
    cut, seen = paste(canvas, image, pictures.boxes[i], scale, left, top, (0, 0, size, size))
    return canvas, cut[seen], pictures.labels[i][seen]


def recolor(image, rng):
    hue, saturation, brightness = 1 + rng.uniform(-1, 1, 3) * (HUE, SATURATION, BRIGHTNESS)
    h, s, v = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    x = np.arange(256)
    tables = (x * hue % 180, np.clip(x * saturation, 0, 255), np.clip(x * brightness, 0, 255))
    turned = [cv2.LUT(plane, table.astype(np.uint8)) for plane, table in zip((h, s, v), tables)]
    return cv2.cvtColor(cv2.merge(turned), cv2.COLOR_HSV2RGB)


def mirror(image, boxes):
    return image[:, ::-1], np.stack([image.shape[1] - boxes[:, 2], boxes[:, 1], image.shape[1] - boxes[:, 0], boxes[:, 3]], 1)


def training_picture(pictures, shares, rng, size, mosaics):
    """-> [size,size,3] RGB bytes, boxes, labels. mosaics: the share of pictures that are four."""
    picks = rng.choice(len(shares), 4, p=shares)
    image, boxes, labels = mosaic(pictures, picks, rng, size) if rng.random() < mosaics else single(pictures, picks[0], rng, size)
    image = recolor(image, rng)
    if rng.random() < 0.5:
        image, boxes = mirror(image, boxes)
    return image, boxes, labels


def as_input(images):
    """Bytes [N,h,w,3] -> what the network takes, channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return ((x.float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def batch(pictures, shares, seed, step, count, size, mosaics):
    """The batch of a step: input and each picture's (boxes, labels)."""
    rng = np.random.default_rng([seed, step])
    images, objects = [], []
    for _ in range(count):
        image, boxes, labels = training_picture(pictures, shares, rng, size, mosaics)
        images.append(image)
        objects.append((torch.from_numpy(np.ascontiguousarray(boxes)).float(), torch.from_numpy(labels)))
    return as_input(np.stack(images)), objects
