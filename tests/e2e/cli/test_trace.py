# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""--trace: a file that follows the format, with every frame's way in it, after a good end, a bad one and Ctrl-C."""
import collections
import json
import os
import signal

import check_trace
import harness

ALL = ["--detector", "shapes", "--segmenter", "cells", "--classifier", "hues", "--classify", "objects", "--embedder", "colors",
       "--tracker", "deepsort", "--denoise", "nlm", "--batch", 4]


class Trace(harness.Case):
    def trace(self, *args, code=0):
        p = self.call("run", "--quiet", "--out", "o", "--trace", "t.json", "--report", "r.json", *args, code=code)
        by_phase, names, lost = check_trace.check(self.dir / "t.json")
        return p, by_phase, names, lost, json.loads((self.dir / "r.json").read_text())

    def test_every_stage_of_every_frame(self):
        _, ev, names, lost, report = self.trace(*ALL, "testsrc:64x48@25,frames=30", "testsrc:96x64@25,frames=20,seed=2")
        self.assertEqual(lost, 0)
        counts = collections.Counter(e["name"] for e in ev["X"]) + collections.Counter(e["name"] for e in ev["b"])
        times = collections.Counter()
        for e in ev["X"]:
            times[e["name"]] += e["dur"]
        self.assertEqual(set(counts), {"decode", "enhance", "queue", "preprocess", "infer", "head", "segment", "classify", "embed",
                                       "track", "sink"})
        # The report counts by another way: both must have seen the same.
        self.assertEqual(dict(counts), {k: v["count"] for k, v in report["stages"].items()})
        for name in times:
            self.assertAlmostEqual(times[name] / 1000, report["stages"][name]["total_ms"], delta=0.002 * counts[name] + 0.01)
        frames = {("testsrc", n) for n in range(30)} | {("testsrc-2", n) for n in range(20)}
        for name in ("decode", "enhance", "head", "sink"):
            self.assertEqual({(e["args"]["stream"], e["args"]["frame"]) for e in ev["X"] if e["name"] == name}, frames, name)
        self.assertEqual((len(ev["s"]), len(ev["f"])), (50, 50))
        self.assertEqual({e["id"] for e in ev["s"]}, {e["id"] for e in ev["f"]})
        self.assertEqual(sum(e["args"]["batch"] for e in ev["b"] if e["name"] == "infer"), 50)
        self.assertEqual({e["name"] for e in ev["C"]}, {"queued testsrc", "queued testsrc-2", "memory_bytes"})
        self.assertTrue({"fm-in-0", "fm-in-1", "fm-exec-0", "fm-out-0"} <= set(names.values()), names)

    def test_inferences_of_a_slot_follow_one_another(self):
        _, ev, *_ = self.trace("--detector", "shapes", "--workers", 3, "--batch", 2, "testsrc:64x48@25,frames=60")
        ends = {(e["id"], e["ts"]) for e in ev["e"] if e["name"] == "infer"}
        self.assertEqual(len(ends), sum(e["name"] == "infer" for e in ev["b"]))
        self.assertLessEqual({i for i, _ in ends}, {0, 1, 2})

    def test_ctrl_c_and_a_stream_that_fails(self):
        p = self.start("run", "--detector", "shapes", "--trace", "t.json", "testsrc:64x48@50")
        p.stdout.readline()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130)
        ev, *_ = check_trace.check(self.dir / "t.json")
        self.assertEqual({e["id"] for e in ev["s"]}, {e["id"] for e in ev["f"]})
        _, ev, *_ = self.trace("--detector", "shapes", "no-such.mp4", "testsrc:64x48@25,frames=3", code=3)
        self.assertEqual(len(ev["s"]), 3)
        _, ev, *_ = self.trace("--detector", "shapes", "no-such.mp4", code=3)
        self.assertEqual(ev["X"], [])

    def test_nothing_leaks(self):
        p, *_, report = self.trace(*ALL, "--log-level", "debug", "testsrc:64x48@25,frames=3", "no-such.mp4", code=3)
        self.assertNotIn("leaks", p.err)
        for module, m in report["memory"].items():
            self.assertEqual(m["blocks"] > 0, m["current_bytes"] > 0, module)
            self.assertLessEqual(m["current_bytes"], m["peak_bytes"], module)
        self.assertGreater(report["memory"]["pipeline"]["blocks"], 10)

    def test_bad_paths(self):
        self.refuse("run", "--detector", "none", "--out", "o", "--trace", "no/t.json", "testsrc:64x48@25", code=1,
                    says="the trace cannot be written to 'no/t.json': No such file")
        self.assertFalse((self.dir / "o" / "testsrc.jsonl").exists())
        if os.path.exists("/dev/full"):
            p = self.call("run", "--quiet", "--detector", "none", "--out", "o", "--trace", "/dev/full",
                          "testsrc:64x48@25,frames=3", code=1)
            self.assertIn("/dev/full", p.err)
            self.assertIn("No space left", p.err)

    def test_a_long_run_stays_bounded(self):
        p = self.call("run", "--detector", "none", "--out", "o", "--trace", "t.json", "--report", "r.json",
                      "testsrc:48x48@25,frames=300000", code=0)
        ev, _, lost = check_trace.check(self.dir / "t.json")
        self.assertGreater(lost, 0)
        self.assertIn(f"{lost} later events are not in it", p.err)
        self.assertGreater(len(ev["X"]), 100000)
        report = json.loads((self.dir / "r.json").read_text())
        self.assertEqual(report["frames"], 300000)
        self.assertLess(report["memory"]["base"]["peak_bytes"], 60 << 20)


class Checker(harness.Case):
    """The checker sees what is wrong."""
    def bad(self, says, *events):
        doc = {"traceEvents": [{"pid": 1, "tid": 1, "name": "x"} | e for e in events], "otherData": {"lost_events": 0},
               "displayTimeUnit": "ms"}
        path = self.write("x.json", json.dumps(doc))
        with self.assertRaisesRegex(check_trace.Bad, says):
            check_trace.check(path)

    def test_refuses(self):
        name = {"ph": "M", "name": "thread_name", "args": {"name": "a"}}
        self.bad("phase", {"ph": "?"})
        self.bad("fields", {"ph": "X", "ts": 1})
        self.bad("unknown field", {"ph": "X", "ts": 1, "dur": 1, "colour": "red"})
        self.bad("type of ts", {"ph": "X", "ts": "1", "dur": 1})
        self.bad("type of id", {"ph": "b", "ts": 1, "cat": "c", "id": "0x1"})
        self.bad("no field of this phase", {"ph": "b", "ts": 1, "cat": "c", "id": 1, "dur": 1})
        self.bad("before the begin", {"ph": "X", "ts": -1, "dur": 1})
        self.bad("without a name", {"ph": "X", "ts": 1, "dur": 1})
        self.bad("nesting", name, {"ph": "X", "ts": 1, "dur": 2}, {"ph": "X", "ts": 2, "dur": 2})
        self.bad("goes back", name, {"ph": "X", "ts": 2, "dur": 1}, {"ph": "X", "ts": 1, "dur": 1})
        self.bad("begins without", {"ph": "b", "ts": 1, "cat": "c", "id": 1})
        self.bad("unpaired", *[{"ph": p, "ts": t, "cat": "c", "id": 1} for p, t in (("b", 1), ("b", 2), ("e", 3), ("e", 4))])
        self.bad("does not begin", name, {"ph": "X", "ts": 1, "dur": 1}, {"ph": "f", "ts": 1, "cat": "c", "id": 1})
        self.bad("outside", {"ph": "s", "ts": 1, "cat": "c", "id": 1})


if __name__ == "__main__":
    harness.main()
