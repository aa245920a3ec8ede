# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What a run writes, where, and with which exit code; settings from file, flags and environment."""
import json
import os
import unittest

import harness
from harness import DETECT, SECRET

SRC = "testsrc:64x48@5"


class Run(harness.Case):
    def test_lines_on_standard_output(self):
        p = self.call(*DETECT, "--frames", "5", SRC, code=0)
        lines = self.lines(p.out)
        self.assertEqual([x["frame"] for x in lines], [0, 1, 2, 3, 4])
        self.assertIn("all ", p.err)
        self.assertNotIn("\r", p.err)  # no progress line where nobody looks
        self.assertEqual(self.call(*DETECT, "--quiet", "--frames", "5", SRC, code=0).err, "")

    def test_files_report_and_json(self):
        p = self.call(*DETECT, "--frames", "4", "--out", "o/p", "--report", "r.json", "--json", SRC, SRC, code=0)
        report = json.loads(p.out)
        self.assertEqual(report, json.loads((self.dir / "r.json").read_text()))
        self.assertEqual(report["frames"], 8)
        self.assertEqual(sorted(x.name for x in (self.dir / "o" / "p").iterdir()), ["testsrc-2.jsonl", "testsrc.jsonl"])
        self.assertEqual(len(self.lines((self.dir / "o/p/testsrc.jsonl").read_text())), 4)
        self.assertEqual([x.name for x in self.dir.iterdir() if "r.json." in x.name], [])

    def test_a_bad_stream_leaves_the_others_alone(self):
        self.write("text.mp4", "not a video")
        p = self.call(*DETECT, "--frames", "3", "--out", "o", "--report", "r.json", "missing.mp4", SRC, "text.mp4", code=3)
        streams = json.loads((self.dir / "r.json").read_text())["streams"]
        self.assertIsNone(streams["testsrc"]["error"])
        self.assertIn("missing.mp4", streams["missing"]["error"])
        self.assertTrue(streams["text"]["error"])
        self.assertEqual(p.err.count("framemill: stream 'missing'"), 1)
        self.assertEqual(len(self.lines((self.dir / "o/testsrc.jsonl").read_text())), 3)

    def test_missing_model_says_what_to_do(self):
        p = self.refuse("run", SRC, code=1, says="framemill models fetch yolox-nano")
        self.assertIn("--detector motion", p.err)
        self.refuse("run", "--detector", "yolox-nanoo", SRC, code=1, says="yolox-nano")
        self.refuse("run", "--detector", "nowhere.onnx", SRC, code=1, says="nowhere.onnx")

    def test_classes_that_do_not_exist(self):
        self.refuse(*DETECT, "--classes", "motion,elephant", SRC, says="elephant")

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            p = self.call(*DETECT, "--frames", "50", SRC, stdout=full, code=3)
        self.assertIn("full", p.err)
        p = self.call(*DETECT, "--frames", "3", "--report", "/dev/full", "--quiet", SRC, code=1)
        self.assertIn("/dev/full", p.err)

    def test_folder_that_cannot_be_written(self):
        (self.dir / "shut").mkdir(mode=0o500)
        kw = {}
        if os.geteuid() == 0:  # root may write anywhere: be somebody else
            kw = {"user": 65534, "group": 65534, "extra_groups": []}
            self.dir.chmod(0o755)
            try:
                self.call("version", code=0, **kw)
            except (OSError, AssertionError):
                self.skipTest("the build folder is closed to others")
        self.refuse(*DETECT, "--out", "shut/o", SRC, code=1, says="shut", **kw)
        self.refuse(*DETECT, "--out", "shut", SRC, code=1, says="shut", **kw)
        self.refuse(*DETECT, "--report", "shut/r.json", SRC, code=1, says="shut/r.json", **kw)

    def test_output_that_cannot_be(self):
        self.write("file", "")
        self.refuse(*DETECT, "--out", "file", SRC, code=1, says="file")
        self.refuse(*DETECT, "--out", "/proc/nothing", SRC, code=1, says="/proc/nothing")
        self.refuse(*DETECT, "--report", "no/such/r.json", SRC, code=1, says="no/such/r.json")
        (self.dir / "folder").mkdir()
        self.refuse(*DETECT, "--report", "folder", SRC, code=1, says="directory")

    def test_credentials_are_never_shown(self):
        urls = [f"rtsp://user:{SECRET}@127.0.0.1:1/x", f"http://user:{SECRET}@127.0.0.1:1/x.mp4",
                f"http://127.0.0.1:1/x.mp4?token={SECRET}", f"concat:http://u:{SECRET}@h/|b"]
        p = self.call(*DETECT, "--log-level", "trace", "--out", "o", "--report", "r.json", *urls, SRC, "--frames", "2", code=3)
        everything = p.out + p.err + "".join(str(x) for x in self.dir.rglob("*"))
        everything += "".join(x.read_text() for x in self.dir.rglob("*") if x.is_file())
        self.assertNotIn(SECRET, everything)
        self.assertIn("***", everything)

    def test_names_are_made_safe(self):
        cfg = self.write("c.yaml", 'streams:\n  - {name: "../up/\\e[31mred\\n", url: "%s"}\n  - {name: "..", url: "%s"}\n' % (SRC, SRC))
        p = self.call(*DETECT, "--config", cfg, "--frames", "1", "--out", "o", code=0)
        names = [x.name for x in (self.dir / "o").iterdir()]
        self.assertEqual(len(names), 2)
        for name in names:
            self.assertRegex(name, r"^[A-Za-z0-9_][A-Za-z0-9._-]*\.jsonl$")
        self.assertEqual({x.name for x in self.dir.iterdir()}, {"o", "c.yaml"} | {".cache"} & {x.name for x in self.dir.iterdir()})
        self.assertNotIn("\x1b", p.err)


class Settings(harness.Case):
    def test_a_file_says_all(self):
        cfg = self.write("c.yaml", "model_paths: {detection: motion}\nframes: 2\nstreams:\n  - {name: a, url: '%s'}\n  - {name: b, url: '%s'}\n" % (SRC, SRC))
        p = self.call("run", "--config", cfg, "--quiet", code=0)
        self.assertEqual(sorted((x["stream"], x["frame"]) for x in self.lines(p.out)), [("a", 0), ("a", 1), ("b", 0), ("b", 1)])
        # Flags win over the file, INPUTs over its streams.
        p = self.call("run", "--frames", "1", "--config", cfg, "--quiet", SRC, code=0)
        self.assertEqual([x["stream"] for x in self.lines(p.out)], ["testsrc"])

    def test_mistakes_are_refused_at_their_line(self):
        for text, says in [
            ("frames: 1\nconf_thresold: 0.5\n", "c.yaml:2:16: unknown key 'conf_thresold'; did you mean 'conf_threshold'?"),
            ("conf: 7\n", "c.yaml:1:7: key 'conf': expected a number from 0 to 1, got '7'"),
            ("zones: db\n", "c.yaml:1:8: key 'zones': this version has no zones yet"),
            ("classify: pixels\n", "c.yaml:1:11: key 'classify': expected frames or objects, got 'pixels'"),
            ("a: [\n", "c.yaml:"),
        ]:
            self.write("c.yaml", text)
            self.refuse("run", "--config", "c.yaml", SRC, says=says)
        self.refuse("run", "--config", "none.yaml", SRC, says="none.yaml")

    def test_config_with_credentials(self):
        self.write("c.yaml", f"streams: ['rtsp://u:{SECRET}@h/x']\n")
        self.assertNotIn(SECRET, self.refuse("run", "--config", "c.yaml", says="{name: ..., url: ...}").err)
        self.write("c.yaml", f"conf: rtsp://u:{SECRET}@h/x\n")
        self.assertNotIn(SECRET, self.refuse("run", "--config", "c.yaml", says="***").err)

    def test_input_size_is_checked(self):
        self.write("c.yaml", "input_size: [640, 640]\n")
        self.refuse("run", "--config", "c.yaml", SRC, says="yolox-nano takes 416x416")
        self.refuse(*DETECT, "--config", "c.yaml", SRC, says="input_size")
        self.write("c.yaml", "input_size: [416, 416]\n")
        self.refuse("run", "--config", "c.yaml", SRC, code=1, says="models fetch yolox-nano")

    def test_what_belongs_to_another_detector_is_refused(self):
        for flag, value in (("--head", "yolov8"), ("--labels", "l.txt")):
            for detector in ("motion", "none", "yolox-nano"):
                self.refuse("run", "--detector", detector, flag, value, SRC, says="bare model file")

    def test_environment(self):
        self.refuse(*DETECT, SRC, env={"BATCH_SIZE": "none"}, says="BATCH_SIZE: expected")
        self.call(*DETECT, "--frames", "1", SRC, env={"BATCH_SIZE": "4"}, code=0)
        self.call(*DETECT, "--frames", "1", "--batch", "2", SRC, env={"BATCH_SIZE": "none"}, code=0)
        self.refuse("doctor", env={"FRAMEMILL_SHARE": "", "HOME": "", "XDG_DATA_HOME": ""}, code=1, says="FRAMEMILL_MODELS")
        for env, folder in [({"MODEL_PATH": "/m1"}, "/m1"), ({"MODEL_PATH": "/m1", "FRAMEMILL_MODELS": "/m2"}, "/m2"),
                            ({"XDG_DATA_HOME": "/x"}, "/x/framemill/models"),
                            ({"XDG_DATA_HOME": "relative"}, f"{self.dir}/.local/share/framemill/models")]:
            checks = json.loads(self.call("doctor", "--json", env=env, code=0).out)
            text = next(c["text"] for c in checks if (c["group"], c["name"]) == ("paths", "models"))
            self.assertTrue(text.startswith(folder + " "), text)

    def test_log_level(self):
        quiet = self.call(*DETECT, "--log-level", "error", "--frames", "2", "--quiet", SRC, code=0)
        self.assertEqual(quiet.err, "")


class Tools(harness.Case):
    def test_doctor(self):
        p = self.call("doctor", code=0)
        for group in ("cpu", "libraries", "backends", "gpu", "models", "paths"):
            self.assertRegex(p.out, rf"(?m)^{group}$")
        self.assertIn("models fetch yolox-nano", p.out)
        checks = json.loads(self.call("doctor", "--json", code=0).out)
        self.assertTrue(all(set(c) == {"group", "name", "state", "text"} for c in checks))
        self.call("doctor", env={"FRAMEMILL_SHARE": "/nowhere"}, code=1)

    def test_models(self):
        names = self.call("models", "list", "--names", code=0).out.split()
        self.assertIn("yolox-nano", names)
        models = json.loads(self.call("models", "list", "--json", code=0).out)
        self.assertEqual([m["name"] for m in models], names)
        # One comes with framemill; it needs no fetching.
        self.assertEqual({m["name"]: m["state"] for m in models if m["state"] != "missing"}, {"superres-x2": "installed"})
        self.assertTrue(all(m["licence"] for m in models))
        self.assertIn("yolox-nano", self.call("models", "list", code=0).out)
        self.assertIn("Apache-2.0", self.call("models", "show", "yolox-nano", code=0).out)
        self.assertEqual(json.loads(self.call("models", "show", "--json", "yolox-nano", code=0).out)["name"], "yolox-nano")
        self.refuse("models", "show", "yolox-nanno", code=1, says="yolox-nano")
        self.assertEqual(self.call("models", "verify", code=0).out, "superres-x2: ok\n")
        self.refuse("models", "verify", "yolox-nano", code=1, says="yolox-nano")
        self.refuse("models", "import", "nothing.onnx", code=1, says="nothing.onnx")

    def test_agpl_is_asked_for(self):
        p = self.refuse("models", "fetch", "yolov8n", code=1, says="--accept-licence")
        self.assertIn("AGPL-3.0", p.err)

    @unittest.skipUnless((harness.DATA / "models" / "yolox_nano_dyn.xml").is_file(), "no models in FM_DATA")
    def test_fetch_from_the_mirror(self):
        env = {"FRAMEMILL_MODEL_MIRROR": str(harness.DATA / "models"), "FRAMEMILL_MODELS": str(self.dir / "m")}
        p = self.call("models", "fetch", "yolox-nano", "no-such-model", env=env, code=3)
        self.assertIn("yolox-nano fetched", p.out)
        self.assertIn("no-such-model", p.err)
        self.assertIn("ok", self.call("models", "verify", env=env, code=0).out)
        self.assertIn("is installed", self.call("models", "fetch", "yolox-nano", env=env, code=0).out)
        run = ["run", "--frames", "2", "--batch", "2", "--quiet", "--out", "o", "--report", "o/r.json", "testsrc:320x240@5"]
        self.call(*run, env=env, code=0)
        self.assertEqual(json.loads((self.dir / "o/r.json").read_text())["batches"]["detection"]["largest"], 2)
        self.assertTrue(any((self.dir / ".cache/framemill/compiled").iterdir()))
        weights = max((x for x in (self.dir / "m").rglob("*") if x.is_file()), key=lambda x: x.stat().st_size)
        with open(weights, "r+b") as f:
            f.truncate(weights.stat().st_size // 2)
        self.assertIn("yolox-nano", self.call("models", "verify", env=env, code=3).err)
        self.refuse("run", SRC, env=env, code=1, says="models fetch")


if __name__ == "__main__":
    harness.main()
