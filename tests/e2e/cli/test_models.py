# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Several models in a run: segmenters, classifiers and embedders beside the detector; what cannot be is refused. The built-in networks shapes,
cells, hues and colors need no weights; tests of real models want the data folder and are skipped by name without it."""
import base64
import json
import os
import pathlib
import shutil
import struct
import tempfile
import unittest

import harness

SRC = "testsrc:192x128@25,frames=3,shapes=3,seed=1"
IMAGES, MODELS = harness.DATA / "images", harness.DATA / "models"
VIDEO = harness.DATA / "video" / "vtest_480x360.mp4"
# A file of each model: where it is, `models fetch` works from the folder.
FILES = {"yolox-nano": "yolox_nano_dyn.xml", "yolov8n-seg": "yolov8n-seg_dyn.xml", "deeplabv3-mnv2": "deeplabv3_mnv2_pascal_dyn.xml",
         "efficientnet-lite0": "efficientnet_lite0.onnx", "mobilenetv2": "mobilenet_v2_quant_dyn.xml", "osnet-x0.25": "osnet_x0_25_msmt17.onnx"}
# A network that gives back what it gets: three planes of 32 x 32, which no head can read.
NO_HEAD = """<?xml version="1.0"?><net name="same" version="11"><layers>
<layer id="0" name="in" type="Parameter" version="opset1"><data shape="?,3,32,32" element_type="f32"/><output><port id="0" precision="FP32">
<dim>-1</dim><dim>3</dim><dim>32</dim><dim>32</dim></port></output></layer>
<layer id="1" name="relu" type="ReLU" version="opset1"><input><port id="0" precision="FP32"><dim>-1</dim><dim>3</dim><dim>32</dim><dim>32</dim></port></input>
<output><port id="1" precision="FP32"><dim>-1</dim><dim>3</dim><dim>32</dim><dim>32</dim></port></output></layer>
<layer id="2" name="out" type="Result" version="opset1"><input><port id="0" precision="FP32"><dim>-1</dim><dim>3</dim><dim>32</dim><dim>32</dim></port></input>
</layer></layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/><edge from-layer="1" from-port="1" to-layer="2" to-port="0"/></edges></net>
"""


def runs_of(mask):
    """COCO's compressed run lengths, background first, column by column."""
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
    return runs


def extent_of(mask):
    """Area, and x0, y0, x1, y1 of what is set; the runs fill the frame."""
    height, width = mask["size"]
    at, area, box = 0, 0, [width, height, 0, 0]
    for i, n in enumerate(runs_of(mask)):
        if i % 2 and n:
            x0, y0, x1, y1 = at // height, at % height, (at + n - 1) // height, (at + n - 1) % height
            y0, y1 = (y0, y1) if x0 == x1 else (0, height - 1)
            box = [min(box[0], x0), min(box[1], y0), max(box[2], x1 + 1), max(box[3], y1 + 1)]
            area += n
        at += n
    assert at == width * height, (at, mask["size"])
    return area, box


def vector(text):
    raw = base64.b64decode(text, validate=True)
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


class Models(harness.Case):
    """Real models, fetched once from the data folder."""
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="fm-models-"))
        cls.fetched = set()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        super().setUp()
        self.env |= {"FRAMEMILL_MODEL_MIRROR": str(MODELS), "FRAMEMILL_MODELS": str(self.folder / "m"),
                     "XDG_CACHE_HOME": str(self.folder / "cache")}

    def need(self, *names, files=()):
        for name in names:
            if not (MODELS / FILES[name]).is_file():
                self.skipTest(f"{name}: {FILES[name]} is not in the data folder")
            if name not in self.fetched:
                self.call("models", "fetch", "--accept-licence", name, code=0)
                self.fetched.add(name)
        for path in files:
            if not path.is_file():
                self.skipTest(f"{path} is missing")

    def lines_of(self, *args):
        """Of a run that works."""
        return self.lines(self.call("run", "--quiet", *args, code=0).out)

    def one(self, *args):
        (line,) = self.lines_of(*args)
        return line

    def frame_size(self, line):
        return [line["height"], line["width"]]


class Segmenters(Models):
    def check_masks(self, line, objects):
        for o in objects:
            x, y, w, h = o["box"]
            area, (x0, y0, x1, y1) = extent_of(o["mask"])
            self.assertEqual(o["mask"]["size"], self.frame_size(line))
            self.assertTrue(0.2 < area / (w * h) <= 1.0, o["label"])
            # Half a prototype's pixel around the box at most.
            self.assertTrue(x0 >= x - 4 and y0 >= y - 4 and x1 <= x + w + 4 and y1 <= y + h + 4, (o["box"], x0, y0, x1, y1))

    def test_objects_with_masks(self):
        self.need("yolov8n-seg", files=[IMAGES / "dog.jpg"])
        for extra in ([], ["--detector", "none"]):  # no detector is loaded for it
            line = self.one("--segmenter", "yolov8n-seg", "--report", "r.json", *extra, IMAGES / "dog.jpg")
            self.assertLessEqual({"dog", "bicycle"}, {o["label"] for o in line["objects"]})
            self.assertTrue(all("mask" in o for o in line["objects"]))
            self.check_masks(line, line["objects"])
            report = json.loads((self.dir / "r.json").read_text())
            self.assertEqual(list(report["batches"]), ["segmentation"])
            self.assertEqual(report["stages"]["segment"]["count"], 1)

    def test_classes_and_conf_hold_for_its_objects(self):
        self.need("yolov8n-seg", files=[IMAGES / "dog.jpg"])
        run = ["--segmenter", "yolov8n-seg", "--classes", "dog"]
        self.assertEqual([o["label"] for o in self.one(*run, IMAGES / "dog.jpg")["objects"]], ["dog"])
        self.assertEqual(self.one(*run, "--conf", "0.99", IMAGES / "dog.jpg")["objects"], [])

    def test_a_detectors_objects_get_its_masks(self):
        self.need("yolox-nano", "yolov8n-seg", files=[IMAGES / "bus.jpg"])
        alone = self.one("--detector", "yolox-nano", IMAGES / "bus.jpg")
        both = self.one("--detector", "yolox-nano", "--segmenter", "yolov8n-seg", IMAGES / "bus.jpg")
        masked = [o for o in both["objects"] if "mask" in o]
        self.assertGreaterEqual(len(masked), 3)
        for o in masked:
            self.assertEqual(o["mask"]["size"], self.frame_size(both))
        for o in both["objects"]:
            o.pop("mask", None)
        self.assertEqual(alone, both)  # the boxes stay the detector's

    def test_a_class_for_every_pixel(self):
        self.need("deeplabv3-mnv2", files=[IMAGES / "bird_segmentation.bmp"])
        line = self.one("--detector", "none", "--segmenter", "deeplabv3-mnv2", IMAGES / "bird_segmentation.bmp")
        self.assertNotIn("objects", line)
        areas = {s["label"]: s["area"] for s in line["semantic"]}
        self.assertAlmostEqual(sum(areas.values()), 1, delta=1e-4)
        self.assertGreater(areas["bird"], 0.1)
        self.assertEqual(sorted(areas.values(), reverse=True), list(areas.values()))

    def test_annotated_video(self):
        self.need("deeplabv3-mnv2", "yolov8n-seg", files=[VIDEO])
        for name in ("deeplabv3-mnv2", "yolov8n-seg"):
            p = self.call("run", "--segmenter", name, "--detector", "none", "--frames", "3", "--annotate", "--out", name, VIDEO, code=0)
            self.assertNotIn("warn", p.err)
            self.assertGreater((self.dir / name / "vtest_480x360.mp4").stat().st_size, 1000)


class Classifiers(Models):
    def test_whole_frames(self):
        self.need("efficientnet-lite0", "mobilenetv2", files=[IMAGES / "hot_dog.jpg"])
        for name in ("efficientnet-lite0", "mobilenetv2"):
            line = self.one("--detector", "none", "--classifier", name, IMAGES / "hot_dog.jpg")
            self.assertNotIn("objects", line)
            self.assertEqual(line["classes"][0]["label"], "hotdog")
            scores = [c["score"] for c in line["classes"]]
            self.assertGreater(scores[0], 0.8)
            self.assertTrue(len(scores) <= 5 and scores == sorted(scores, reverse=True) and sum(scores) <= 1.001, scores)

    def test_top_k(self):
        self.need("efficientnet-lite0", files=[IMAGES / "dog.jpg"])
        five = self.one("--detector", "none", "--classifier", "efficientnet-lite0", IMAGES / "dog.jpg")["classes"]
        for k in (1, 3):
            self.write("c.yaml", f"top_k: {k}\ndetector: none\nmodel_paths: {{classification: efficientnet-lite0}}\n")
            self.assertEqual(self.one("--config", "c.yaml", IMAGES / "dog.jpg")["classes"], five[:k])

    def test_objects(self):
        self.need("yolox-nano", "efficientnet-lite0", files=[IMAGES / "dog.jpg"])
        line = self.one("--detector", "yolox-nano", "--classifier", "efficientnet-lite0", "--classify", "objects", "--report", "r.json",
                        IMAGES / "dog.jpg")
        self.assertNotIn("classes", line)
        dog = next(o for o in line["objects"] if o["label"] == "dog")
        self.assertIn(dog["classes"][0]["label"], {"malamute", "Siberian husky", "Eskimo dog", "Norwegian elkhound"})
        self.assertTrue(all(o["classes"] for o in line["objects"]))
        batches = json.loads((self.dir / "r.json").read_text())["batches"]
        self.assertEqual(batches["classification"]["items"], len(line["objects"]))

    def test_a_bare_file_knows_its_labels(self):
        self.need("efficientnet-lite0", files=[IMAGES / "hot_dog.jpg"])
        p = self.call("run", "--detector", "none", "--classifier", MODELS / "efficientnet_lite0.onnx", IMAGES / "hot_dog.jpg", code=0)
        self.assertIn("looks like head 'softmax'", p.err)
        self.assertEqual(self.lines(p.out)[0]["classes"][0]["label"], "hotdog")


class Embedders(Models):
    def feature(self, picture):
        line = self.one("--detector", "none", "--embedder", "osnet-x0.25", "--embed", "frames", "--features", IMAGES / picture)
        self.assertNotIn("objects", line)
        return vector(line["feature"])

    def test_whole_frames(self):
        self.need("osnet-x0.25", files=[IMAGES / x for x in ("bus.jpg", "exif_landscape_1.jpg", "exif_landscape_3.jpg")])
        bus, one, three = self.feature("bus.jpg"), self.feature("exif_landscape_1.jpg"), self.feature("exif_landscape_3.jpg")
        self.assertEqual(len(bus), 512)
        for v in (bus, one, three):
            self.assertAlmostEqual(dot(v, v), 1, delta=1e-4)
        self.assertGreater(dot(one, three), 0.99)  # the same picture, its pixels turned and the turn noted
        self.assertLess(dot(one, bus), 0.9)

    def test_objects(self):
        self.need("yolox-nano", "osnet-x0.25", files=[IMAGES / "bus.jpg"])
        line = self.one("--detector", "yolox-nano", "--embedder", "osnet-x0.25", "--features", IMAGES / "bus.jpg")
        self.assertNotIn("feature", line)
        for o in line["objects"]:
            self.assertEqual(len(vector(o["feature"])), 512)


class All(Models):
    FLAGS = {"detector": ["--detector", "yolox-nano"], "segmenter": ["--segmenter", "deeplabv3-mnv2"],
             "classifier": ["--classifier", "efficientnet-lite0"], "embedder": ["--embedder", "osnet-x0.25", "--embed", "frames", "--features"]}

    def flags(self, *names):
        none = [] if "detector" in names else ["--detector", "none"]
        return none + [f for name in names for f in self.FLAGS[name]]

    def test_side_by_side_as_alone(self):
        self.need("yolox-nano", "deeplabv3-mnv2", "efficientnet-lite0", "osnet-x0.25", files=[VIDEO])
        together = self.lines_of(*self.flags(*self.FLAGS), "--frames", 4, VIDEO)
        self.assertEqual(len(together), 4)
        for name, key in (("detector", "objects"), ("segmenter", "semantic"), ("classifier", "classes"), ("embedder", "feature")):
            alone = self.lines_of(*self.flags(name), "--frames", 4, VIDEO)
            self.assertEqual([x[key] for x in together], [x[key] for x in alone], name)

    def test_report_of_a_video(self):
        self.need("yolox-nano", "deeplabv3-mnv2", "efficientnet-lite0", "osnet-x0.25", files=[VIDEO])
        self.call("run", *self.flags(*self.FLAGS), "--frames", "6", "--batch", "3", "--annotate", "--out", "o", "--report", "r.json", VIDEO, VIDEO,
                  code=0)
        report = json.loads((self.dir / "r.json").read_text())
        self.assertEqual(report["frames"], 12)
        self.assertEqual(set(report["batches"]), {"detection", "segmentation", "classification", "features"})
        for task in report["batches"].values():
            self.assertEqual((task["items"], task["failed"]), (12, 0))
        for stage in ("infer", "segment", "classify", "embed"):
            self.assertGreater(report["stages"][stage]["total_ms"], 0, stage)
        self.assertEqual(report["stages"]["decode"]["count"], 12)  # once for all models

    def test_everything_of_objects(self):
        self.need("yolox-nano", "yolov8n-seg", "efficientnet-lite0", "osnet-x0.25", files=[VIDEO])
        lines = self.lines_of("--detector", "yolox-nano", "--segmenter", "yolov8n-seg", "--classifier", "efficientnet-lite0", "--classify", "objects",
                              "--tracker", "deepsort", "--features", "--classes", "person", "--frames", 8, VIDEO)
        objects = [o for line in lines for o in line["objects"]]
        self.assertTrue(any("track_id" in o for o in objects))
        self.assertGreater(sum("mask" in o for o in objects), len(objects) / 2)
        for o in objects:
            self.assertTrue(o["classes"])
            self.assertEqual(len(vector(o["feature"])), 512)


class BuiltIn(harness.Case):
    """The networks of the ref backend know the test source's colours."""
    def lines_of(self, *args):
        return self.lines(self.call("run", "--quiet", *args, code=0).out)

    def test_in_any_combination(self):
        parts = {"objects": ["--detector", "shapes"], "semantic": ["--segmenter", "cells"], "classes": ["--classifier", "hues"],
                 "feature": ["--embedder", "colors", "--embed", "frames", "--features"]}
        alone = {}
        for key, flags in parts.items():
            alone[key] = self.lines_of(*([] if key == "objects" else ["--detector", "none"]), *flags, SRC)
            self.assertEqual(set(alone[key][0]) & set(parts), {key})
        for n in range(1, 16):
            keys = [k for i, k in enumerate(parts) if n >> i & 1]
            flags = sum((parts[k] for k in keys), [] if "objects" in keys else ["--detector", "none"])
            lines = self.lines_of(*flags, "--batch", 2, SRC)
            self.assertEqual([{k: x[k] for k in keys} for x in lines], [{k: alone[k][i][k] for k in keys} for i in range(3)])
            self.assertEqual(set(lines[0]) & set(parts), set(keys))

    def test_classes_of_objects(self):
        for line in self.lines_of("--detector", "shapes", "--classifier", "hues", "--classify", "objects", SRC):
            self.assertTrue(line["objects"])
            for o in line["objects"]:
                self.assertEqual(o["classes"][0]["label"], o["label"])

    def test_one_model_that_fails_leaves_the_rest(self):
        p = self.call("run", "--detector", "shapes", "--segmenter", "cells", "--classifier", "hues:fail_every=1", SRC, code=3)
        for line in self.lines(p.out):
            self.assertIn("error", line)
            self.assertTrue(line["objects"] and line["semantic"])
            self.assertEqual(line["classes"], [])


class Refused(harness.Case):
    def test_models_of_another_task(self):
        for flag, name, says in (("--segmenter", "yolox-nano", "is a detector (task detection); --segmenter needs task segmentation"),
                                 ("--classifier", "yolov8n-seg", "is a segmenter (task segmentation); --classifier needs task classification"),
                                 ("--detector", "mobilenetv2", "is a classifier (task classification); --detector needs task detection"),
                                 ("--detector", "cells", "--detector needs task detection"),
                                 ("--segmenter", "colors", "--segmenter needs task segmentation"),
                                 ("--classifier", "shapes", "--classifier needs task classification")):
            detector = [] if flag == "--detector" else ["--detector", "none"]
            self.refuse("run", *detector, flag, name, SRC, says=says)
        self.refuse("run", "--detector", "shapes", "--features", "--embedder", "mobilenetv2", SRC, says="--embedder needs task features")

    def test_nothing_to_look_at(self):
        none = ["run", "--detector", "none"]
        self.refuse(*none, "--classifier", "hues", "--classify", "objects", SRC, says="nothing finds any: name a detector")
        self.refuse(*none, "--embedder", "colors", "--features", SRC, says="nothing finds any: name a detector, or embed frames")
        self.refuse(*none, "--embedder", "none", "--embed", "frames", "--features", SRC, says="there is no embedder")
        self.refuse(*none, "--segmenter", "cells", "--tracker", "ocsort", SRC, says="nothing to follow")

    def test_models_that_are_not_there(self):
        for flag in ("--segmenter", "--classifier"):
            self.refuse("run", "--detector", "none", flag, "nowhere.onnx", SRC, code=1, says="nowhere.onnx")
            self.refuse("run", "--detector", "none", flag, "no-such-model", SRC, code=1, says="no-such-model")
        self.refuse("run", "--segmenter", "deeplabv3-mnv2", SRC, code=1, says="framemill models fetch deeplabv3-mnv2")
        self.refuse("run", "--segmenter", "cells:size=0x0", SRC, says="size")

    def test_a_device_that_does_not_exist(self):
        for device in ("cuda:3", "cuda:99999999999", "gpu", ""):
            p = self.call("run", "--detector", "shapes", "--device", device, SRC)
            self.assertIn(p.returncode, (1, 2), p.err)
            self.assertIn(device or "--device", p.err)
            self.assertEqual((p.err.count("\n"), p.out), (1, ""), p.err)

    def test_outputs_that_fit_no_head(self):
        checks = json.loads(self.call("doctor", "--json").out)
        if ["backends", "openvino", "ok"] not in [[c["group"], c["name"], c["state"]] for c in checks]:
            self.skipTest("this build has no OpenVINO")
        xml = self.write("same.xml", NO_HEAD)
        self.write("same.bin", "")
        for flag, task in (("--detector", "detection"), ("--classifier", "classification")):
            detector = [] if flag == "--detector" else ["--detector", "none"]
            p = self.refuse("run", *detector, flag, xml, SRC, code=1, says=f"no head for {task} fits the output shapes [1,3,32,32]")
            self.assertIn("same.xml", p.err)
        p = self.refuse("run", "--detector", xml, "--head", "yolov8", SRC, code=1, says="head 'yolov8' wants")
        self.assertIn("[1,3,32,32]", p.err)

    @unittest.skipUnless((MODELS / "yolox_nano_dyn.xml").is_file(), "yolox_nano_dyn.xml is not in FM_DATA")
    def test_labels_of_the_wrong_number(self):
        self.write("three.txt", "a\nb\nc\n")
        p = self.refuse("run", "--detector", MODELS / "yolox_nano_dyn.xml", "--labels", "three.txt", "--quiet", SRC, code=1, says="3 labels")
        self.assertIn("80", p.err)

    @unittest.skipUnless((MODELS / "efficientnet_lite0.onnx").is_file(), "efficientnet_lite0.onnx is not in FM_DATA")
    def test_a_description_with_the_wrong_classes(self):
        os.symlink((MODELS / "efficientnet_lite0.onnx").resolve(), self.dir / "e.onnx")
        self.write("two.yaml", "name: two\ntask: classification\nversion: '1'\nlicence: MIT\nabout: x\nlabels: [cat, dog]\nhead: {type: softmax}\n"
                   "input: {layout: nchw, size: [224, 224], color: rgb, mean: 0, scale: 255, fit: crop}\nvariants: [{files: [{path: e.onnx}]}]\n")
        p = self.refuse("run", "--detector", "none", "--classifier", "./two.yaml", SRC, code=1, says="1000")
        self.assertIn("two", p.err)


if __name__ == "__main__":
    harness.main()
