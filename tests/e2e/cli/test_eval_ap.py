# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill eval --coco and --voc: what they read, table and JSON, and what they say when something is wrong."""
import json
import os

import harness

BOX = [10, 20, 100, 50]
TRUTH = {
    "images": [{"id": 1, "file_name": "val/a.jpg"}, {"id": 2, "file_name": "val/b.jpg"}],
    "categories": [{"id": 5, "name": "aeroplane"}, {"id": 7, "name": "dining table"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": BOX}, {"id": 2, "image_id": 2, "category_id": 5, "bbox": BOX},
                    {"id": 3, "image_id": 2, "category_id": 7, "bbox": BOX, "iscrowd": 0, "area": 5000}],
}
RESULTS = [{"image_id": 1, "category_id": 5, "bbox": BOX, "score": 0.75}]


def line(file, *objects):
    return json.dumps({"stream": "p", "frame": 0, "file": file, "objects": [
        {"label": label, "class_id": 0, "score": score, "box": box} for label, score, box in objects]}) + "\n"


def xml(*objects, before="<annotation>"):
    """(name, difficult, xmin, ymin, xmax, ymax)"""
    body = "".join(f"<object><name>{n}</name><difficult>{d}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
                   f"<ymax>{e}</ymax></bndbox></object>\n" for n, d, a, b, c, e in objects)
    return f"{before}\n{body}</annotation>\n"


class EvalDetections(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("gt.json", json.dumps(TRUTH))
        self.write("list.json", json.dumps(RESULTS))
        (self.dir / "out").mkdir()
        self.write("out/p.jsonl", line("a.jpg", ("airplane", 0.75, BOX), ("zebra", 0.9, BOX)))
        self.write("out/report.json", "{}")
        (self.dir / "voc").mkdir()
        self.write("voc/a.xml", xml(("aeroplane", 0, 11, 21, 110, 70), ("dog", 1, 11, 21, 110, 70)))
        self.write("voc/b.xml", xml(("aeroplane", 0, 11, 21, 110, 70)))

    def scores(self, *args):
        return json.loads(self.call("eval", *args, "--json", code=0).out)

    def test_a_table(self):
        p = self.call("eval", "--coco", "gt.json", "out", code=0)
        rows = {r[:12].strip(): r[12:].split() for r in p.out.split("\n\n")[0].splitlines()}
        self.assertEqual(rows["class"], ["objects", "AP50", "AP75", "AP", "AR", "conf", "prec", "recall", "F1"])
        # One of two: precision 1 up to recall 0.5, which is 51 of 101 steps.
        self.assertEqual(rows["aeroplane"], ["2", "0.505", "0.505", "0.505", "0.500", "0.750", "1.000", "0.500", "0.667"])
        self.assertEqual(rows["dining table"], ["1", "0.000", "0.000", "0.000", "0.000", "1.000", "0.000", "0.000", "0.000"])
        self.assertEqual(rows["all"][:3], ["3", "0.252", "0.252"])
        self.assertIn("AP by area              small      -     medium  0.252      large      -\n", p.out)
        self.assertIn("2 pictures, 1 of them without a result\n", p.out)
        self.assertIn("labels that are classes: aeroplane (1)\n", p.out)
        self.assertIn("labels without a class, not counted: zebra (1)\n", p.out)
        self.assertIn("classes that no detection bears: dining table\n", p.out)
        p = self.call("eval", "--coco", "gt.json", "out", "--min-objects", "2", code=0)
        self.assertIn("all, >= 2           2  0.505", p.out)
        self.assertIn("(1 of 2 classes have at least 2 objects)", p.out)

    def test_json(self):
        s = self.scores("--coco", "gt.json", "out", "--min-objects", "2")
        self.assertEqual((s["ground_truth"], s["pictures"], s["missing"], s["unknown_labels"]), ("coco", 2, 1, {"zebra": 1}))
        self.assertEqual([c["name"] for c in s["classes"]], ["aeroplane", "dining table"])
        one = s["classes"][0]
        self.assertAlmostEqual(one["ap"], 51 / 101)
        self.assertEqual((one["ap_small"], one["ap_large"], one["objects"], one["labelled"]), (None, None, 2, True))
        self.assertEqual(one["precision_at"], [1] * 51 + [0] * 50)
        self.assertEqual((s["large"]["classes"], s["large"]["min_objects"], s["large"]["ap"]), (1, 2, one["ap"]))
        self.assertNotIn("voc_ap", one)
        # A list of results and a file of lines are the same.
        for result in ("list.json", "out/p.jsonl"):
            self.assertEqual(self.scores("--coco", "gt.json", result)["all"], s["all"], result)

    def test_the_operating_point(self):
        self.write("two.json", json.dumps([*RESULTS, dict(RESULTS[0], image_id=2, bbox=[400, 0, 9, 9], score=0.5)]))
        at = {c: self.scores("--coco", "gt.json", "two.json", "--at", c)["classes"][0]["point"] for c in ("0.5", "0.6", "0.8")}
        self.assertEqual((at["0.5"]["tp"], at["0.5"]["fp"], at["0.5"]["precision"], at["0.5"]["conf"]), (1, 1, 0.5, 0.5))
        self.assertEqual((at["0.6"]["tp"], at["0.6"]["fp"], at["0.6"]["fn"]), (1, 0, 1))
        self.assertEqual((at["0.8"]["tp"], at["0.8"]["precision"], at["0.8"]["f1"]), (0, 0, 0))
        best = self.scores("--coco", "gt.json", "two.json")["classes"][0]["point"]
        self.assertEqual((best["conf"], best["tp"], best["fp"]), (0.75, 1, 0))

    def test_voc(self):
        self.write("out/p.jsonl", line("a.jpg", ("airplane", 0.75, BOX), ("dog", 0.7, BOX)) + line("b.png", ("Airplane", 0.5, BOX)))
        s = self.scores("--voc", "voc", "out")
        a, dog = s["classes"]
        self.assertEqual((s["ground_truth"], s["missing"], a["voc_ap"], a["ap"]), ("voc", 0, 1, 1))
        self.assertEqual((dog["objects"], dog["ignored"], dog["voc_ap"], dog["point"]["fp"]), (0, 1, None, 0))
        p = self.call("eval", "--voc", "voc", "out", code=0)
        self.assertIn(" objects VOC AP   AP50 ", p.out)
        self.assertRegex(p.out, r"\ndog  +0      -      -")
        self.assertIn("labels that are classes: aeroplane (2), dog (1)\n", p.out)

    def test_labels_map(self):
        self.write("map.txt", "# ours = theirs\r\n\nzebra=dining table\n")
        self.assertEqual(self.scores("--coco", "gt.json", "out", "--labels-map", "map.txt")["classes"][1]["detections"], 1)
        for text, says in [("zebra\n", "map.txt:1: expected label = class"), ("\na = horse\n", "map.txt:2: 'horse' is no class"),
                           ("a = aeroplane\na = aeroplane\n", "map.txt:2: label 'a' is there twice")]:
            self.write("map.txt", text)
            self.refuse("eval", "--coco", "gt.json", "out", "--labels-map", "map.txt", says=says, code=1)

    def test_labels_that_two_classes_share_mean_neither(self):
        cats = [{"id": 5, "name": "aeroplane"}, {"id": 7, "name": "airplane"}]
        self.write("gt.json", json.dumps({**TRUTH, "categories": cats}))
        self.write("out/p.jsonl", line("a.jpg", ("AirPlane", 0.75, BOX), ("airplane", 0.7, BOX)))
        s = self.scores("--coco", "gt.json", "out")
        self.assertEqual((s["unknown_labels"], [c["detections"] for c in s["classes"]]), ({"AirPlane": 1}, [0, 1]))

    def refuse_gt(self, text, says):
        self.write("bad.json", text if isinstance(text, str) else json.dumps(text))
        self.refuse("eval", "--coco", "bad.json", "list.json", says=says, code=1)

    def test_ground_truth_that_is_none(self):
        ann, img, cat = TRUTH["annotations"], TRUTH["images"], TRUTH["categories"]

        def with_ann(**change):
            return {**TRUTH, "annotations": [{k: v for k, v in {**ann[0], **change}.items() if v is not None}]}
        for text, says in [
            ("", "bad.json:1:1: the text ends; expected an object"), ("[]", "bad.json:1:1: expected an object, got an array"),
            ('{"images":[]', "the text ends inside"), ('{"images":[],"images":[]}', "'images' is there twice"), ("{} x", "something follows"),
            ({"images": img, "categories": cat}, "'annotations' is missing"), ({"annotations": [], "images": img}, "'categories' is missing"),
            (with_ann(bbox=None), "'bbox' is missing"), (with_ann(id=None), "'id' is missing"),
            (with_ann(image_id=None), "'image_id' is missing"), (with_ann(image_id=9), "image_id 9 is not in 'images'"),
            (with_ann(category_id=9), "category_id 9 is not in 'categories'"), (with_ann(bbox=[1, 2, 3]), "a box of 3 numbers"),
            (with_ann(bbox=[1, 2, 3, 4, 5]), "more than 4 numbers"), (with_ann(bbox=[1, 2, -3, 4]), "negative size"),
            (with_ann(bbox=[1, 2, "3", 4]), "expected a number, got a string"), (with_ann(area=float("nan")), "no JSON value; expected a number"),
            (with_ann(bbox=[1e12, 2, 3, 4]), "too large"), (with_ann(id="x"), "expected a number, got a string"),
            (with_ann(id=1.5), "expected a whole number, got 1.5"), (with_ann(iscrowd=2), "expected 0 or 1, got 2"),
            ({**TRUTH, "annotations": [ann[0], ann[0]]}, "id 1 is there twice in 'annotations'"),
            ({**TRUTH, "images": [img[0], img[1], img[0]]}, "id 1 is there twice in 'images'"),
            ({**TRUTH, "categories": [*cat, {"id": 9, "name": "aeroplane"}]}, "class 'aeroplane' is there twice"),
            ({**TRUTH, "categories": [*cat, cat[0]]}, "id 5 is there twice in 'categories'"),
            ({**TRUTH, "images": [{"id": 1}]}, "'file_name' is missing"), ({**TRUTH, "images": [{"file_name": "a"}]}, "'id' is missing"),
        ]:
            self.refuse_gt(text, says)
        self.write("bad.json", '{\n "images": [],\n "annotations": {}}')
        self.refuse("eval", "--coco", "bad.json", "list.json", says="bad.json:3:17: expected an array, got an object", code=1)

    def test_results_that_are_none(self):
        r = RESULTS[0]
        for text, says in [
            ("", None), ("[]", None), ("\n\n", None), ("x", "bad.json:1:1: "), ("[1]", "expected an object, got a number"),
            ([{k: v for k, v in r.items() if k != "score"}], "'score' is missing"), ([dict(r, image_id=77)], "image_id 77 is not in the ground truth"),
            ([dict(r, score=float("nan"))], "no JSON value"), ([dict(r, score="0.5")], "expected a number, got a string"),
            (line("a.jpg") + line("c.jpg"), "bad.json:2:1: picture 'c.jpg' is not in the ground truth"),
            (line("a.jpg") + line("val/a.jpg"), "bad.json:2:1: picture 'val/a.jpg' is there a second time"),
            ('{"frame":0,"objects":[]}\n', "no 'file': only lines of pictures"),
            ('{"file":"a.jpg","objects":[{"label":"dog","score":1}]}', "'box' is missing in an object"),
            ('{"file":"a.jpg","objects":[{"label":5}]}', "expected a string, got a number"),
            ('{"file":"a.jpg"}\n{"file":"b.jpg"', "bad.json:2:16: the text ends inside"),
            ('{"file":"a.jpg"}{"file":"b.jpg"}', "bad.json:1:17: something follows"),
        ]:
            self.write("bad.json", text if isinstance(text, str) else json.dumps(text))
            if says is None:
                self.assertEqual(self.scores("--coco", "gt.json", "bad.json")["all"]["ap"], 0)
            else:
                self.refuse("eval", "--coco", "gt.json", "bad.json", says=says, code=1)
        self.refuse("eval", "--coco", "gt.json", "nowhere", says="'nowhere': No such file", code=1)
        self.refuse("eval", "--coco", "nowhere", "out", says="'nowhere': No such file", code=1)
        self.refuse("eval", "--coco", "gt.json", "voc", says="no .jsonl file in 'voc'", code=1)

    def test_xml_that_is_none(self):
        good = ("dog", 0, 1, 1, 5, 5)
        for text, says in [
            ("", "voc/c.xml:1: no annotation"), ("dog", "c.xml:1: text outside"), ("<annotation>\n<object>\n", "c.xml:3: the file ends inside"),
            ("<annotation></object>", "a closing tag that does not fit"), ("<a></a>", "no annotation of Pascal VOC"),
            (xml(good, before="<!DOCTYPE x [<!ENTITY a 'b'>]><annotation>"), "a document type"), (xml(("&boom;", 0, 1, 1, 5, 5)), "an entity other than"),
            (xml(("", 0, 1, 1, 5, 5)), "an object without name"), (xml(("dog", 2, 1, 1, 5, 5)), "difficult is neither 0 nor 1"),
            (xml(("dog", 0, 1, 1, "x", 5)), "c.xml:2: a corner that is no number"), (xml(("dog", 0, 1, "nan", 5, 5)), "a corner that is no number"),
            (xml(("dog", 0, 9, 1, 5, 5)), "xmax or ymax is below"), (xml(good).replace("<xmin>1</xmin>", ""), "an object without xmin"),
            (xml(good) + xml(good), "something follows after the annotation"), (xml(good, before="<annotation a='"), "a tag without its end"),
        ]:
            self.write("voc/c.xml", text)
            self.refuse("eval", "--voc", "voc", "out", says=says, code=1)
        os.unlink(self.dir / "voc" / "c.xml")
        self.refuse("eval", "--voc", "gt.json", "out", says="'gt.json' is no folder", code=1)
        self.refuse("eval", "--voc", "voc", "list.json", says="'list.json' is a list of COCO's results", code=1)
        self.refuse("eval", "--voc", "out", "out", says="no .xml file in 'out'", code=1)

    def test_usage(self):
        self.refuse("eval", "--coco", "--voc", "gt.json", "out", says="--coco and --voc exclude each other")
        self.refuse("eval", "--coco", "gt.json", says="needs GT RESULT")
        self.refuse("eval", "--coco", "gt.json", "out", "--iou", "0.5", says="--iou is for tracks")
        self.refuse("eval", "gt.json", "out", "--at", "0.5", says="--at needs --coco or --voc")
        self.refuse("eval", "gt.json", "out", "--labels-map", "x", says="--labels-map needs --coco or --voc")
        self.refuse("eval", "--coco", "gt.json", "out", "--at", "2", says="--at: expected")
        self.refuse("eval", "--coco", "gt.json", "out", "--min-objects", "0", says="--min-objects: expected")


if __name__ == "__main__":
    harness.main()
