# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Help, flags, suggestions, exit codes of wrong usage."""
import json
import re
import subprocess

import harness

COMMANDS = ["run", "enhance", "models list", "models fetch", "models verify", "models show", "models import", "eval", "quality", "doctor",
            "cluster run", "cluster status", "version", "completion", "help"]


class Usage(harness.Case):
    def test_every_command_explains_itself(self):
        for name in COMMANDS:
            a = self.call(*name.split(), "--help", code=0)
            b = self.call("help", *name.split(), code=0)
            self.assertEqual(a.out, b.out)
            self.assertIn(f"framemill {name}", a.out)
            self.assertEqual(a.err, "")
            for line in a.out.splitlines():
                self.assertEqual(line, line.rstrip())
                self.assertLessEqual(len(line), 100, line)

    def test_overview_lists_every_command(self):
        for args in (["--help"], ["-h"], ["help"]):
            out = self.call(*args, code=0).out
            for name in COMMANDS:
                self.assertRegex(out, rf"(?m)^  {name} ")
        self.assertEqual(self.call(code=2).out, "")
        self.assertIn("models fetch", self.call("models", "--help", code=0).out)
        self.assertIn("models fetch", self.call("help", "models", code=0).out)

    def test_hidden_flags_are_not_shown(self):
        self.assertNotIn("--backend", self.call("run", "--help", code=0).out)
        self.assertNotIn("--man", self.call("help", "--help", code=0).out)

    def test_commands_to_come_are_unknown(self):
        for name in ("serve", "deploy"):
            self.refuse(name, says=f"unknown command '{name}'")

    def test_near_misses(self):
        self.refuse("rnu", says="did you mean: framemill run")
        self.refuse("docter", says="did you mean: framemill doctor")
        self.refuse("models", "ftech", says="did you mean: framemill models fetch")
        self.refuse("models", says="framemill models --help")
        self.refuse("video.mp4", says="framemill run INPUT")
        self.refuse("run", "--detectr", "x", says="did you mean --detector?")
        self.refuse("run", "--bach=3", says="did you mean --batch?")
        self.refuse("run", "--zzzzzzzz", says="framemill run --help")
        self.refuse("run", "-x", says="unknown flag '-x'")
        self.refuse("run", "--segmentr", "none", says="did you mean --segmenter?")
        self.refuse("models list", says="unknown command")
        self.refuse("help", "rnu", says="no command 'rnu'")

    def test_values(self):
        for flag, value, says in [
            ("--conf", "2", "a number from 0 to 1, got '2'"),
            ("--conf", "x", "got 'x'"),
            ("--iou", "0", "from 0.01 to 1"),
            ("--batch", "0", "from 1 to 256, or auto"),
            ("--batch", "many", "or auto"),
            ("--workers", "-1", "got '-1'"),
            ("--threads", "1.5", "whole number"),
            ("--frames", "-1", "whole number from 0"),
            ("--timeout", "0", "from 0.1"),
            ("--head", "yolo", "yolox, yolov5 or yolov8"),
            ("--precision", "int4", "expected fp32, bf16 or fp16, got 'int4'"),
            ("--classify", "pixels", "expected frames or objects, got 'pixels'"),
            ("--embed", "all", "expected objects or frames, got 'all'"),
            ("--log-level", "loud", "error, warn, info, debug or trace"),
            ("--classes", "a,,b", "an empty one"),
            ("--out", "", "the path of a folder"),
        ]:
            self.refuse("run", flag, value, "testsrc:64x48@5", says=f"{flag}: expected")
            self.refuse("run", f"{flag}={value}", "testsrc:64x48@5", says=says)
        self.refuse("run", "--conf", says="--conf needs a value")
        self.refuse("run", "--out", "--annotate", says="--out needs a value")
        self.refuse("run", "--annotate=maybe", says="true or false")
        self.refuse("run", "--no-annotate=true", says="takes no value")

    def test_combinations(self):
        self.refuse("run", says="nothing to read")
        self.refuse("run", "--json", "testsrc:64x48@5", says="--out DIR")
        self.refuse("run", "--annotate", "testsrc:64x48@5", says="--out DIR")
        self.refuse("doctor", "extra", says="does not take 'extra'")
        self.refuse("models", "show", says="needs NAME")
        self.refuse("models", "show", "a", "b", says="does not take 'b'")
        self.refuse("completion", "csh", says="bash, zsh or fish")

    def test_flags_anywhere_and_end_of_flags(self):
        out = self.call("run", "testsrc:64x48@5", "--frames=2", "--detector", "motion", "--quiet", code=0).out
        self.assertEqual(len(self.lines(out)), 2)
        # The last of a repeated flag counts; --no-x undoes --x.
        p = self.call(*harness.DETECT, "--frames", "9", "--frames", "1", "--realtime", "--no-realtime", "--quiet",
                      "testsrc:64x48@5", code=0)
        self.assertEqual(len(self.lines(p.out)), 1)
        p = self.call(*harness.DETECT, "--quiet", "--", "--frames", code=3)
        self.assertIn("frames", p.err)

    def test_version(self):
        text = self.call("version", code=0).out
        self.assertRegex(text, r"^framemill \d+\.\d+\.\d+\n$")
        self.assertEqual(self.call("--version", code=0).out, text)
        self.assertEqual(json.loads(self.call("version", "--json", code=0).out)["version"], text.split()[1])

    def test_standard_output_that_fails(self):
        with open("/dev/full", "w") as full:
            p = self.call("help", stdout=full, code=1)
        self.assertIn("No space left", p.err)
        p = subprocess.run(["sh", "-c", '"$0" version >&-', harness.COMMAND], env=self.env, capture_output=True, text=True)
        self.assertEqual(p.returncode, 1, p.stderr)
        self.assertIn("standard output", p.stderr)

    def test_control_characters_and_credentials_are_not_echoed(self):
        for args in (["\x1b[31mevil"], ["run", "--\x1b]0;x\x07"], ["models", "show", "a\x1bb\nc"],
                     ["run", "--conf", "\x1b[2J"], ["doctor", "x\x9by"]):
            err = self.call(*args).err
            self.assertNotRegex(err, r"[\x00-\x09\x0b-\x1f\x7f]")
            self.assertEqual(err.count("\n"), 1, err)
        url = f"rtsp://user:{harness.SECRET}@127.0.0.1:1/x"
        for args in ([url], ["doctor", url], ["run", f"--{url}"], ["run", "--conf", url], ["run", "--conf=" + url],
                     ["help", url], ["models", url], ["models", "show", url], ["run", "--head", url, url]):
            p = self.call(*args)
            self.assertNotEqual(p.returncode, 0)
            self.assertNotIn(harness.SECRET, p.err + p.out)


class Generated(harness.Case):
    def test_config_page_is_current(self):
        page = (harness.ROOT / "docs" / "config.md").read_text()
        found = re.search(r"<!-- table -->\n(.*?)<!-- end -->", page, re.S)
        self.assertIsNotNone(found, "docs/config.md has no table")
        self.assertEqual(found.group(1).strip(), self.call("help", "--markdown", code=0).out.strip(),
                         "run: framemill help --markdown, and put it between the marks in docs/config.md")

    def test_schema_is_json_and_closed(self):
        schema = json.loads(self.call("help", "--schema", code=0).out)
        self.assertFalse(schema["additionalProperties"])
        self.assertEqual(schema["properties"]["conf_threshold"]["maximum"], 1)
        self.assertEqual(set(schema["properties"]["model_paths"]["properties"]),
                         {"detection", "segmentation", "classification", "features"})
        for place in (schema["properties"], schema["properties"]["streams"]["items"]["properties"]):
            self.assertEqual(set(place["enhance"]["properties"]), {"denoise", "color", "lut"})


if __name__ == "__main__":
    harness.main()
