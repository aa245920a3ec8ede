#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Is head yolov5-seg right? No weights of that network are published where tests may have them, so a small one with its output layer, as
YOLOv5's models/yolo.py (Detect, Segment, Proto) has it, is made here of random numbers with a seed: three scales of three anchors, the
grid decoded inside, objectness, classes, 32 coefficients, prototypes at a quarter of the input. `framemill run` on photos must say what
numpy and OpenVINO's Python API say (reference_models.py), and must not when told a wrong convention.

    compare_yolov5_seg.py FRAMEMILL

Exit 77, a skip, names what is missing."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import compare_models as common

SIZE, CLASSES, COEFS, SEED, BIAS = 320, 7, 32, 5, -6
ANCHORS = {8: [(10, 13), (16, 30), (33, 23)], 16: [(30, 61), (62, 45), (59, 119)], 32: [(116, 90), (156, 198), (373, 326)]}
PICTURES = ["dog.jpg", "bus.jpg", "hot_dog.jpg"]
CONF = 0.25
YAML = f"""name: random5
task: segmentation
version: "1"
licence: Apache-2.0
about: "random numbers in the shape of a YOLOv5-seg"
labels: [{", ".join(f"c{i}" for i in range(CLASSES))}]
input: {{layout: nchw, size: [{SIZE}, {SIZE}], color: rgb, mean: 0, scale: 255, fit: letterbox, anchor: center, pad: 114}}
head: {{type: yolov5-seg, boxes: pixels, grid: decoded, activation: none}}
variants: [{{files: [{{path: random5.xml}}, {{path: random5.bin}}]}}]
"""
# What must be noticed.
WRONG = [("color: rgb", "color: bgr"), ("anchor: center", "anchor: topleft"), ("scale: 255", "scale: 200"), ("fit: letterbox", "fit: stretch"),
         ("boxes: pixels", "boxes: unit")]


def build(folder):
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op

    random = np.random.default_rng(SEED)

    def convolve(x, inputs, outputs, side, stride, gain=1.0, bias=0.0):
        w = random.standard_normal((outputs, inputs, side, side)) * np.sqrt(2 / (inputs * side * side))
        w *= np.reshape(gain, (-1, 1, 1, 1))
        pad = [side // 2] * 2
        y = op.convolution(x, op.constant(w.astype(np.float32)), [stride] * 2, pad, pad, [1, 1])
        return op.add(y, op.constant(np.broadcast_to(np.float32(bias), (outputs,)).reshape(1, outputs, 1, 1).copy()))

    def silu(x):
        return op.swish(x)

    def scale_of(x, inputs, stride):
        """[N, 3*g*g, 5+C+M] as Detect.forward and Segment.forward have it."""
        row, grid = 5 + CLASSES + COEFS, SIZE // stride
        bias = np.tile(np.float32([0] * 4 + [BIAS] + [0] * (CLASSES + COEFS)), 3)
        gain = np.tile([1, 1, 0.4, 0.4] + [2.5] * (1 + CLASSES) + [1] * COEFS, 3)  # boxes near their anchors, scores far apart
        y = convolve(x, inputs, 3 * row, 1, 1, gain, bias)
        y = op.reshape(y, op.constant(np.int64([0, 3, row, grid, grid])), True)
        y = op.transpose(y, op.constant(np.int64([0, 1, 3, 4, 2])))
        xy, wh, scores, coefs = op.variadic_split(y, op.constant(np.int64(4)), op.constant(np.int64([2, 2, 1 + CLASSES, COEFS]))).outputs()
        cells = np.stack(np.meshgrid(np.arange(grid), np.arange(grid)), 2).astype(np.float32).reshape(1, 1, grid, grid, 2) - 0.5
        sides = np.float32(ANCHORS[stride]).reshape(1, 3, 1, 1, 2)
        two = op.constant(np.float32(2))
        xy = op.multiply(op.add(op.multiply(op.sigmoid(xy), two), op.constant(cells)), op.constant(np.float32(stride)))
        wh = op.multiply(op.power(op.multiply(op.sigmoid(wh), two), two), op.constant(sides))
        y = op.concat([xy, wh, op.sigmoid(scores), coefs], 4)
        return op.reshape(y, op.constant(np.int64([0, 3 * grid * grid, row])), True)

    images = op.parameter([-1, 3, SIZE, SIZE], np.float32, name="images")
    x = silu(convolve(op.subtract(images, op.constant(np.float32(0.45))), 3, 16, 6, 2, gain=2.0))
    if int(x.get_output_partial_shape(0)[2].get_length()) != SIZE // 2:  # a side of 6 is padded to one cell more
        x = op.slice(x, op.constant(np.int64([0, 0])), op.constant(np.int64([SIZE // 2] * 2)), op.constant(np.int64([1, 1])), op.constant(np.int64([2, 3])))
    x = silu(convolve(x, 16, 24, 3, 2, gain=1.3))
    protos = silu(convolve(x, 24, COEFS, 3, 1, gain=1.3))
    rows, inputs = [], 24
    for stride in ANCHORS:
        x = silu(convolve(x, inputs, 48, 3, 2, gain=1.3))
        rows.append(scale_of(x, 48, stride))
        inputs = 48
    model = ov.Model([op.result(op.concat(rows, 1)), op.result(protos)], [images], "random5")
    ov.save_model(model, str(folder / "random5.xml"), compress_to_fp16=False)


def segment(model, path, conf, iou):
    """Objects with both kinds of masks: one class a candidate, its score objectness x class, as segment/predict.py has it."""
    import numpy as np
    import reference_models as reference

    fit, (out, protos), (height, width) = model(path)
    out, protos = out[0], protos[0]
    scores = out[:, 4:5] * out[:, 5 : 5 + CLASSES]
    classes, best = scores.argmax(1), scores.max(1)
    take = best >= conf
    center, extent, coefs = out[take, :2], out[take, 2:4], out[take, 5 + CLASSES :]
    classes, best = classes[take], best[take]
    boxes = np.concatenate((center - extent / 2, center + extent / 2), 1)
    kept = reference.suppress(boxes, best, classes, iou)
    left, top, cols, rows = fit.dst
    boxes = (boxes[kept] - [left, top, left, top]) * [width / cols, height / rows, width / cols, height / rows]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    logits = (coefs[kept] @ protos.reshape(len(protos), -1)).reshape(-1, *protos.shape[1:]).astype(np.float32)
    exact = reference.masks_exact(logits, boxes, fit, SIZE, height, width)
    native = reference.masks_native(logits, boxes, SIZE, height, width)
    return [{"class_id": int(classes[k]), "score": float(best[k]), "box": boxes[i], "exact": e, "native": n}
            for i, (k, e, n) in enumerate(zip(kept, exact, native))]


def run(exe, yaml, pictures):
    lines = {}
    for path in pictures:
        args = [exe, "run", "--quiet", "--segmenter", yaml, "--conf", CONF, "--iou", common.NMS_IOU, path]
        done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{done.stderr}\nframemill run failed on {yaml}")
        (line,) = [json.loads(line) for line in done.stdout.splitlines()]
        line["objects"] = [o for o in line["objects"] if "mask" in o]  # one without covers no pixel, and then has no partner
        lines[path.name] = line
    return lines


def main():
    exe = sys.argv[1]
    common.enter("py", ["cv2", "numpy", "openvino"])
    import reference_models as reference

    pictures = [common.DATA / "images" / n for n in PICTURES]
    if not all(p.is_file() for p in pictures):
        common.skip(f"{', '.join(PICTURES)} are not all in the data folder")
    os.environ["FRAMEMILL_SHARE"] = str(common.SHARE)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["HOME"] = folder
        build(work)
        reference.SPECS["random5"] = {"file": "random5.xml", "size": SIZE, "fit": "letterbox", "mean": 0, "scale": 255, "nhwc": False}
        # Masks of noise are nearly all edge, and Ultralytics' way cuts the padding off in whole cells: only the exact one is held to.
        reference.segment, common.CONF, common.MIN_NATIVE, common.MIN_EXACT = segment, CONF, 0.9, 0.98
        net = reference.Model("random5", work)
        (work / "right.yaml").write_text(YAML, encoding="utf-8")
        good, told = common.compare_objects(net, run(exe, work / "right.yaml", pictures), pictures)
        print(f"yolov5-seg of random numbers, {len(pictures)} photos: {told}")
        for right, wrong in WRONG:
            assert right in YAML
            (work / "wrong.yaml").write_text(YAML.replace(right, wrong), encoding="utf-8")
            agrees, told = common.compare_objects(net, run(exe, work / "wrong.yaml", pictures), pictures)
            print(f"{right} -> {wrong}: {'NOT NOTICED' if agrees else 'noticed'}: {told}")
            good &= not agrees
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
