#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill-export quantize and free-batch. Exit code 77, with the reason, where OpenVINO, NNCF, PyYAML or the data folder is missing."""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["FM_SOURCE_ROOT"])
DATA = pathlib.Path(os.environ.get("FM_DATA", ROOT / ".." / "shared" / "data"))
TOOL = ROOT / "python" / "export" / "framemill-export"
MODELS = ROOT / "share" / "framemill" / "models"
sys.path.insert(0, str(ROOT / "python" / "export"))

for module in ("openvino", "nncf", "yaml", "cv2"):
    if importlib.util.find_spec(module) is None:
        print(f"skipped: no {module} for {sys.executable}")
        sys.exit(77)
if not (DATA / "models" / "yolov5n_416_dyn.xml").is_file():
    print("skipped: no model files (FM_DATA)")
    sys.exit(77)


class Quantize(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def call(self, *args, code=0):
        done = subprocess.run([sys.executable, str(TOOL), *map(str, args)], capture_output=True, text=True, cwd=self.folder, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def pictures(self):
        """The data folder's few pictures, each also mirrored and cut."""
        import cv2

        folder = self.folder / "pictures"
        folder.mkdir()
        for path in sorted((DATA / "images").glob("*.jpg")):
            picture = cv2.imread(str(path))
            h, w = picture.shape[:2]
            for i, version in enumerate((picture, picture[:, ::-1], picture[: h * 4 // 5], picture[:, w // 5:])):
                cv2.imwrite(str(folder / f"{path.stem}-{i}.jpg"), version)
        (folder / "broken.jpg").write_bytes(b"no picture")
        return folder

    def test_a_detector_keeps_its_answers(self):
        out = self.call("quantize", MODELS / "yolov5n.yaml", "--files", DATA / "models", "--pictures", self.pictures(), "--out", "out",
                        "--subset", 20, "--report", "report.json").stdout
        report = json.loads((self.folder / "report.json").read_text())
        self.assertGreaterEqual(report["matched_share"], 0.8, out)
        self.assertLess(report["mean_absolute_score_shift"], 0.15)
        self.assertIn("times_faster", report)
        yaml = self.folder / "out" / "yolov5n-int8.yaml"
        done = subprocess.run([os.environ["FM_FRAMEMILL"], "run", str(DATA / "images" / "zidane.jpg"), "--detector", str(yaml), "--conf", "0.3"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"person"', done.stdout)

    def test_refusals(self):
        few = self.folder / "few"
        few.mkdir()
        for name, args, says in (
            ("few pictures", (MODELS / "yolov5n.yaml", "--files", DATA / "models", "--pictures", few), "8 are the least"),
            ("no folder", (MODELS / "yolov5n.yaml", "--files", DATA / "models", "--pictures", "nowhere"), "is no folder"),
            ("no description", ("nothing.xml", "--pictures", few), "is not there"),
            ("no files", (MODELS / "yolov5n.yaml", "--files", few, "--pictures", few), "say where they are"),
        ):
            with self.subTest(name):
                self.assertIn(says, self.call("quantize", *args, code=1).stderr)

    def test_free_batch(self):
        shutil.copy(DATA / "models" / "yolox_nano.onnx", self.folder / "nano.onnx")
        self.assertIn("freed", self.call("free-batch", "nano.onnx").stdout)
        self.assertTrue((self.folder / "nano_dyn.xml").is_file() and (self.folder / "nano_dyn.bin").is_file())
        self.assertIn("free already", self.call("free-batch", "nano_dyn.xml", "--out", "again.xml").stdout)
        self.assertIn("was not freed", self.call("free-batch", self.broken(), code=1).stderr)

    def broken(self):
        path = self.folder / "broken.onnx"
        path.write_bytes(b"\x08\x07 not a network")
        return path


class Pictures(unittest.TestCase):
    def test_fits(self):
        import numpy as np
        from framemill_export import pictures

        picture = np.zeros((10, 20, 3), np.uint8)
        picture[:, :, 0] = 200
        for fit, anchor, rows in (("letterbox", "center", [5, 6, 13, 14]), ("letterbox", "topleft", [0, 1, 8, 9])):
            fitted = pictures.fit(picture, {"size": [20, 20], "fit": fit, "anchor": anchor, "pad": 114})
            self.assertEqual([tuple(fitted[r, 3]) for r in rows], [(200, 0, 0)] * 4)
            self.assertEqual(tuple(fitted[19, 3]), (114, 114, 114))
        x = pictures.as_input(picture, {"size": [8, 8], "fit": "stretch", "color": "bgr", "mean": [1, 2, 0], "scale": [1, 2, 100]})
        self.assertEqual(x.shape, (1, 3, 8, 8))
        self.assertEqual([float(v) for v in x[0, :, 4, 4]], [-1.0, -1.0, 2.0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
