# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""tune and bench as a user sees them, with the networks of the ref backend: what is kept and used again, and bad input."""
import contextlib
import json
import os
import pathlib
import signal
import unittest
import xml.dom.minidom

import harness

TUNE = ["tune", "--detector", "shapes", "--max-batch", "4", "--sample-ms", "2", "--frames", "6"]
INPUT = "testsrc:160x120@30"
BENCH = ["bench", "--detector", "shapes", "--frames", "10"]


class Tune(harness.Case):
    def kept(self):
        return self.dir / ".config" / "framemill" / "tuning.yaml"

    def test_the_best_is_kept_and_used_by_run(self):
        report = json.loads(self.call(*TUNE, "--json", "--quiet", INPUT, code=0).out)[0]
        best = [r for r in report["settings"] if r.get("best")]
        self.assertEqual(len(best), 1)
        measured = [r for r in report["settings"] if r["state"] == "measured"]
        self.assertTrue(any(r["pareto"] for r in measured))
        self.assertTrue(all(r["fps"] > 0 and 0 < r["p50_ms"] <= r["p99_ms"] and 0 < r["share"] <= 1 for r in measured))
        self.assertEqual({r["batch"] for r in report["settings"]}, {1, 2, 4})
        run = ["run", "--detector", "shapes", "--frames", "3", "--out", "o", INPUT]
        err = self.call(*run, code=0).err
        self.assertIn(f"batch {best[0]['batch']}, {best[0]['slots']} slots, {best[0]['threads']} cores, as tuned", err)
        self.assertNotIn("as tuned", self.call(*run, "--batch", "2", code=0).err)
        self.assertNotIn("as tuned", self.call(*run, "--workers", "1", code=0).err)

    def test_what_was_kept_for_another_machine_is_refused(self):
        self.call(*TUNE, INPUT, code=0)
        text = self.kept().read_text()
        self.kept().write_text(text.replace('"framemill":"', '"framemill":"9.'))
        err = self.call("run", "--detector", "shapes", "--frames", "3", "--out", "o", INPUT, code=0).err
        self.assertRegex(err, r"does not hold here \(framemill was '9\..*run: framemill tune")
        self.kept().write_text("nonsense")
        err = self.call("run", "--detector", "shapes", "--frames", "3", "--out", "o", INPUT, code=0).err
        self.assertIn("the default is used", err)

    def test_a_table_and_pictures(self):
        p = self.call(*TUNE, "--plot", "t.svg", "--no-save", INPUT, code=0)
        self.assertIn("> best: --batch ", p.out)
        self.assertFalse(self.kept().exists())
        svg = xml.dom.minidom.parse(str(self.dir / "t.svg"))
        self.assertGreaterEqual(len(svg.getElementsByTagName("circle")), 6)
        self.call(*TUNE, "--plot", "t.html", "--no-save", INPUT, code=0)
        self.assertIn("</html>", (self.dir / "t.html").read_text())
        self.refuse(*TUNE, "--plot", "t.png", INPUT, says=".svg or .html")

    def test_bounds_that_nothing_keeps(self):
        p = self.call(*TUNE, "--max-latency-ms", "0.000001", INPUT, code=1)
        self.assertIn("No setting could be measured within the bounds", p.out)
        self.assertFalse(self.kept().exists())

    def test_bad_input(self):
        (self.dir / "empty").mkdir()
        for words, says in ((["missing.mp4"], "missing.mp4"), (["empty"], "empty")):
            p = self.call(*TUNE, *words)
            self.assertIn(p.returncode, (1, 2))
            self.assertIn(says, p.err)
        self.assertIn("no-such-model", self.call("tune", "--detector", "no-such-model", INPUT, code=1).err)
        self.refuse("tune", "--layers", "--quiet", "--detector", "shapes", INPUT, says="does not tell", code=1)

    @unittest.skipIf(os.geteuid() == 0, "root writes everywhere")
    def test_a_folder_that_cannot_be_written(self):
        self.cannot_keep(lambda: (self.dir / ".config").mkdir(mode=0o500))

    def test_a_file_where_the_folder_should_be(self):
        self.cannot_keep(lambda: (self.dir / ".config").write_text("x"))

    @staticmethod
    def threads(pid):
        names = set()
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):
                names.add(path.read_text().strip())
        return names

    def cannot_keep(self, prepare):
        prepare()
        p = self.call(*TUNE, "--quiet", INPUT, code=1)
        self.assertIn("> best: --batch ", p.out)
        self.assertIn("results are not kept", p.err)
        self.assertEqual(p.err.count("\n"), 1)

    def test_a_signal_leaves_the_best_so_far(self):
        p = self.start("tune", "--detector", "shapes", "--sample-ms", "20000", "--frames", "4", "--json", "--quiet", INPUT)
        # Under way once its trial's workers are there: the first sample takes twenty seconds.
        while p.poll() is None and "fm-exec-0" not in self.threads(p.pid):
            pass
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130, err)
        self.assertTrue(json.loads(out)[0]["stopped"])


class Bench(harness.Case):
    def test_rows_and_their_comparison(self):
        report = json.loads(self.call(*BENCH, "--rounds", "2", "--json", "--out", "old.json", INPUT, code=0).out)
        rows = {r["what"]: r for r in report["rows"]}
        for what in ("decode", "network", "floor", "run", "of floor", "infer", "latency p99"):
            self.assertGreater(rows[what]["value"], 0, what)
            self.assertLessEqual(rows[what]["least"], rows[what]["value"])
            self.assertLessEqual(rows[what]["value"], rows[what]["most"])
        self.assertLessEqual(rows["floor"]["value"], min(rows["decode"]["value"], rows["network"]["value"]))
        old = json.loads((self.dir / "old.json").read_text())
        self.assertEqual(old["rows"], report["rows"])
        for r in old["rows"]:  # a machine a thousand times as fast
            for key in ("value", "least", "most"):
                r[key] *= 0.001 if r["less_is_better"] else 1000
        old["rows"] = [r for r in old["rows"] if r["what"] != "of floor"]
        self.write("fast.json", json.dumps(old))
        out = self.call(*BENCH, "--rounds", "1", "--compare", "fast.json", INPUT, code=0).out
        self.assertEqual(out.count("WORSE\n"), len(old["rows"]), out)
        self.assertEqual(out.count(" new\n"), 1)

    def test_bad_input(self):
        self.write("bad.json", '{"framemill_bench": 1, "rows": [{"input": "a"}]}')
        self.write("other.json", "{}")
        self.assertIn("has no 'what'", self.call(*BENCH, "--compare", "bad.json", INPUT, code=1).err)
        self.assertIn("no report of framemill bench", self.call(*BENCH, "--compare", "other.json", INPUT, code=1).err)
        self.assertIn("missing.mp4", self.call(*BENCH, "missing.mp4").err)
        self.refuse(*BENCH, "--json", "--compare", "bad.json", says="give one of them")


if __name__ == "__main__":
    harness.main()
