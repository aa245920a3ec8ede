# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill eval: files and folders, table and JSON, what it says when something is wrong."""
import json
import os

import harness

GT = "".join(f"{f},{i},{100 * i},{10 + f},30,60,1,-1,-1,-1\n" for f in range(1, 11) for i in (1, 2))
# Object 2 is missed in frame 1 and changes its id in frame 6.
RESULT = "".join(f"{f},{7 if i == 1 else 8 + f // 6},{100 * i},{10 + f},30,60,0.9,-1,-1,-1\n"
                 for f in range(1, 11) for i in (1, 2) if (f, i) != (1, 2))


class Eval(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("gt.txt", GT)
        self.write("result.txt", RESULT)

    def put(self, name, text):
        (self.dir / name).parent.mkdir(parents=True, exist_ok=True)
        return self.write(name, text)

    def scores(self, *args, code=0):
        p = self.call("eval", *args, "--json", code=code)
        return json.loads(p.out)

    def table(self, text):
        """{heading: {row: [values]}} of both tables."""
        out = {}
        for block in text.strip().split("\n\n"):
            head, *rows = block.splitlines()
            self.assertTrue(all(len(r) == len(head) for r in rows), block)
            for row in rows:
                name, *values = row.split()
                out.setdefault(name, {}).update(zip(head.replace("GT ids", "GTids").split()[1:], values, strict=True))
        return out

    def test_two_files(self):
        t = self.table(self.call("eval", "gt.txt", "result.txt", code=0).out)
        self.assertEqual(list(t), [self.dir.name])
        row = t[self.dir.name]
        self.assertEqual((row["MOTA"], row["recall"], row["prec"], row["MOTP"]), ("0.900", "0.950", "1.000", "1.000"))
        self.assertEqual((row["FN"], row["FP"], row["IDs"], row["MT"], row["GT"], row["boxes"]), ("1", "0", "1", "2", "20", "19"))
        self.assertEqual(row["IDF1"], f"{2 * 15 / 39:.3f}")

    def test_json_holds_what_the_table_shows(self):
        p = self.call("eval", "gt.txt", "result.txt", "--json", code=0)
        self.assertEqual(p.err, "")
        s = json.loads(p.out)
        self.assertEqual((s["iou"], s["rules"], list(s["sequences"])), (0.5, "trackeval", [self.dir.name]))
        one = s["sequences"][self.dir.name]
        self.assertIsNone(one["error"])
        self.assertEqual(one, s["combined"])
        self.assertEqual((one["switches"], one["fn"], one["fp"], one["idtp"], one["frames"]), (1, 1, 0, 15, 10))
        self.assertAlmostEqual(one["mota"], 0.9)
        self.assertEqual(len(one["hota_at"]), 19)
        self.assertAlmostEqual(sum(one["hota_at"]) / 19, one["hota"], places=8)

    def test_ground_truth_against_itself(self):
        one = self.scores("gt.txt", "gt.txt")["combined"]
        self.assertTrue(all(one[k] == 1 for k in ("mota", "motp", "idf1", "hota", "assa", "deta", "loca", "recall")))

    def test_empty_result(self):
        self.write("none.txt", "")
        one = self.scores("gt.txt", "none.txt")["combined"]
        self.assertEqual((one["mota"], one["idf1"], one["hota"], one["fn"], one["ml"]), (0, 0, 0, 20, 2))
        self.write("blank.txt", "\r\n\n")
        self.assertEqual(self.scores("gt.txt", "blank.txt")["combined"]["fn"], 20)

    def folders(self):
        self.put("truth/b/gt/gt.txt", GT)
        self.put("truth/a/gt.txt", GT)
        self.put("truth/readme.txt", "not a sequence\n")
        self.put("truth/seqmaps/all.txt", "a\nb\n")
        self.put("out/a.mot.txt", GT)
        self.put("out/b.txt", RESULT)
        self.put("out/c.txt", "no ground truth for this\n")

    def test_folders(self):
        self.folders()
        s = self.scores("truth", "out")
        self.assertEqual(list(s["sequences"]), ["a", "b"])
        self.assertEqual((s["sequences"]["a"]["mota"], s["sequences"]["b"]["mota"]), (1, 0.9))
        self.assertAlmostEqual(s["combined"]["mota"], 38 / 40)
        self.assertEqual(s["combined"]["gt_boxes"], 40)
        t = self.table(self.call("eval", "truth", "out", code=0).out)
        self.assertEqual(list(t), ["a", "b", "combined"])
        self.assertEqual(t["combined"]["MOTA"], "0.950")
        # A sequence's own folder; one file of results beside several sequences goes by its name.
        self.assertEqual(list(self.scores("truth/b", "out")["sequences"]), ["b"])
        self.assertEqual(list(self.scores("truth/b/gt/gt.txt", "out")["sequences"]), ["b"])
        self.assertEqual(list(self.scores("truth/", "out/b.txt")["sequences"]), ["b"])
        # Our own file wins over one of the same name.
        self.put("out/a.txt", "x\n")
        self.assertEqual(self.scores("truth/a", "out")["combined"]["mota"], 1)

    def test_flat_folders(self):
        self.put("flat/x.txt", GT)
        self.put("flat/y.txt", GT)
        self.put("flat/.hidden.txt", "x\n")
        self.put("flat/notes.md", "x\n")
        self.put("out/x.mot.txt", GT)
        self.put("out/y.mot.txt", RESULT)
        self.assertEqual(list(self.scores("flat", "out")["sequences"]), ["x", "y"])

    def test_a_sequence_that_fails_is_left_out(self):
        self.folders()
        (self.dir / "out" / "b.txt").write_text("1,2,3\n")
        p = self.call("eval", "truth", "out", "--json", code=3)
        s = json.loads(p.out)
        self.assertIn("out/b.txt:1: 3 columns", s["sequences"]["b"]["error"])
        self.assertEqual(s["combined"]["gt_boxes"], 20)
        self.assertIn("framemill: out/b.txt:1: ", p.err)
        os.unlink(self.dir / "out" / "b.txt")
        p = self.call("eval", "truth", "out", code=3)
        self.assertEqual(list(self.table(p.out)), ["a", "combined"])
        self.assertEqual(p.err, "framemill: no result for sequence 'b': expected b.mot.txt or b.txt in 'out'\n")

    def test_what_cannot_be_evaluated(self):
        self.write("bad.txt", "1,1,0,0,5,5,1,-1,-1,-1\n1,2,0,zero,5,5,1,-1,-1,-1\n")
        self.write("nan.txt", "1,1,nan,0,5,5,1,-1,-1,-1\n")
        self.write("twice.txt", "1,1,0,0,5,5,1,-1,-1,-1\n1,1,9,0,5,5,1,-1,-1,-1\n")
        self.write("det.txt", "1,-1,0,0,5,5,1,-1,-1,-1\n1,-1,9,0,5,5,1,-1,-1,-1\n")
        self.write("binary.txt", "\0\1\2\n")
        (self.dir / "empty").mkdir()
        self.folders()
        for gt, result, says in [
            ("nowhere.txt", "result.txt", "cannot open 'nowhere.txt': No such file"),
            ("gt.txt", "nowhere.txt", "cannot open 'nowhere.txt': No such file"),
            ("nowhere", "nowhere", "cannot open 'nowhere'"),
            ("gt.txt", "bad.txt", "bad.txt:2: y is not a number: 'zero'"),
            ("bad.txt", "result.txt", "bad.txt:2: y is not a number: 'zero'"),
            ("gt.txt", "nan.txt", "nan.txt:1: x is not a number: 'nan'"),
            ("gt.txt", "twice.txt", "twice.txt:2: id 1 is in frame 1 twice"),
            ("gt.txt", "det.txt", "detections without ids cannot be evaluated"),
            ("gt.txt", "binary.txt", "binary.txt:1: "),
            ("empty", "result.txt", "'empty' holds no ground truth"),
            ("gt.txt", "empty", "no result for sequence"),
            ("truth", "empty", "no result for sequence 'a'"),
            ("truth", "result.txt", "no sequence of the ground truth is named 'result'"),
        ]:
            self.refuse("eval", gt, result, says=says, code=1)

    def test_usage(self):
        self.refuse("eval", says="needs GT RESULT")
        self.refuse("eval", "gt.txt", says="needs GT RESULT")
        self.refuse("eval", "gt.txt", "result.txt", "more.txt", says="does not take 'more.txt'")
        self.refuse("eval", "gt.txt", "result.txt", "--iou", "0", says="--iou: expected")
        self.refuse("eval", "gt.txt", "result.txt", "--iou", "nan", says="--iou: expected")
        self.refuse("eval", "gt.txt", "result.txt", "--rules", "mine", says="trackeval or motmetrics")
        self.refuse("eval", "gt.txt", "result.txt", "--gt-format", "mot99", says="mot15, mot17 or mot20")

    def test_flags(self):
        self.write("off.txt", GT.replace(",30,60,", ",20,60,"))  # two thirds of each box
        self.assertEqual(self.scores("gt.txt", "off.txt", "--iou", "0.6")["combined"]["tp"], 20)
        s = self.scores("gt.txt", "off.txt", "--iou", "0.7")
        self.assertEqual((s["combined"]["tp"], s["iou"]), (0, 0.7))
        self.assertEqual(self.scores("gt.txt", "result.txt", "--rules", "motmetrics")["rules"], "motmetrics")
        self.write("mot17.txt", "1,1,0,0,9,9,1,1,1\n1,2,50,0,9,9,1,3,1\n")
        self.assertEqual(self.scores("mot17.txt", "mot17.txt")["combined"]["gt_boxes"], 1)
        self.assertEqual(self.scores("mot17.txt", "mot17.txt", "--gt-format=mot15")["combined"]["gt_boxes"], 2)

    def test_locale_plays_no_part(self):
        a = self.call("eval", "gt.txt", "result.txt", "--iou", "0.5", code=0)
        b = self.call("eval", "gt.txt", "result.txt", "--iou", "0.5", code=0, env={"LC_ALL": "de_DE.UTF-8"})
        self.assertEqual(a.out, b.out)


if __name__ == "__main__":
    harness.main()
