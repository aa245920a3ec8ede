#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Mask R-CNN all the way: torchvision's network, exported in both forms, run by the command on a picture, against what torchvision itself says of that
picture. The weights are random, made so that scores do not saturate. Exit code 77, with the reason, where something is missing."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["FM_SOURCE_ROOT"])
PICTURE = pathlib.Path(os.environ.get("FM_DATA", ROOT / ".." / "shared" / "data")) / "images" / "bus.jpg"
TOOL = ROOT / "python" / "export" / "framemill-export"
SIDE, CONF = 128, 0.3

for module in ("torch", "torchvision", "PIL", "onnx"):
    if importlib.util.find_spec(module) is None:
        print(f"skipped: no {module} for {sys.executable}")
        sys.exit(77)
if not PICTURE.is_file():
    print(f"skipped: {PICTURE.name} is not in the data folder")
    sys.exit(77)

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from PIL import Image  # noqa: E402

OPERATORS = next(pathlib.Path(torchvision.__file__).parent.glob("_C*.so"), None)


def bits(mask):
    """COCO's compressed run lengths as an array."""
    height, width = mask["size"]
    runs, value, shift = [], 0, 0
    for c in mask["counts"].encode():
        c -= 48
        value |= (c & 0x1F) << shift
        shift += 5
        if not c & 0x20:
            if c & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
    return flat.reshape(width, height).T


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, w) * max(0, h)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


class MaskRcnn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        Image.open(PICTURE).convert("RGB").resize((SIDE, SIDE)).save(cls.folder / "picture.png")
        torch.manual_seed(4)
        model = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4).eval()
        with torch.no_grad():
            model.rpn.head.cls_logits.weight.mul_(0.03)
            model.roi_heads.box_predictor.cls_score.weight.mul_(3)
            model.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(3)
        torch.save(model.state_dict(), cls.folder / "random.pth")
        model.transform.min_size, model.transform.max_size = (SIDE,), SIDE
        x = torch.from_numpy(np.asarray(Image.open(cls.folder / "picture.png")).copy()).permute(2, 0, 1).float() / 255
        with torch.no_grad():
            found = model([x])[0]
        keep = found["scores"] >= CONF
        cls.wanted = {k: v[keep].numpy() for k, v in found.items()}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def export(self, form):
        done = subprocess.run([sys.executable, str(TOOL), "checkpoint", "--arch", "torchvision:maskrcnn_resnet50_fpn", "random.pth", "--classes", "4", "--size",
                               f"{SIDE}x{SIDE}", "--format", form, "--out", form, "--name", "mr"], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return f"{form}/mr.yaml"

    def objects(self, yaml, *flags):
        done = subprocess.run([os.environ["FM_FRAMEMILL"], "run", "--segmenter", yaml, "--conf", str(CONF), "--quiet", *flags, "picture.png"], cwd=self.folder,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["objects"]

    def compare(self, objects):
        want = self.wanted
        self.assertGreater(len(want["scores"]), 20)
        self.assertEqual(len(objects), len(want["scores"]))
        left, masks, lost = list(objects), [], 0
        for box, label, score, mask in zip(want["boxes"], want["labels"], want["scores"], want["masks"]):
            same = [(overlap(box, [o["box"][0], o["box"][1], o["box"][0] + o["box"][2], o["box"][1] + o["box"][3]]), k) for k, o in enumerate(left)
                    if o["class_id"] == label]
            best, k = max(same, default=(0, 0))
            if best < 0.98:
                lost += 1
                continue
            o = left.pop(k)
            self.assertAlmostEqual(o["score"], float(score), delta=0.001)
            got, true = bits(o["mask"]), mask[0] > 0.5
            masks.append((got & true).sum() / max(1, (got | true).sum()))
        self.assertGreaterEqual(np.mean(masks), 0.97)
        self.assertLessEqual(lost, 0.03 * len(want["scores"]))  # random proposals have near ties, which suppression may settle otherwise

    def test_as_onnx(self):
        if importlib.util.find_spec("openvino") is None:
            self.skipTest("no openvino")
        self.compare(self.objects(self.export("onnx")))

    @unittest.skipIf(OPERATORS is None, "torchvision has no library of operators")
    def test_as_torchscript(self):
        yaml = self.export("torchscript")
        doctor = subprocess.run([os.environ["FM_FRAMEMILL"], "doctor"], capture_output=True, text=True, check=False).stdout
        if "torch" not in doctor or "no plug-in" in doctor:
            self.skipTest("framemill was built without libtorch")
        self.compare(self.objects(yaml, "--backend", "torch", "--torch-ops", str(OPERATORS)))
        bare = subprocess.run([os.environ["FM_FRAMEMILL"], "run", "--segmenter", yaml, "--backend", "torch", "picture.png"], cwd=self.folder, capture_output=True,
                              text=True, check=False)
        self.assertEqual(bare.returncode, 1)
        self.assertIn("--torch-ops LIBRARY", bare.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
