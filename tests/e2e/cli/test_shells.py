# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Completion scripts and the man page: accepted by their own tools, and complete."""
import os
import re
import shutil
import subprocess
import unittest

import harness


def flags(text):
    return set(re.findall(r"--(?:\[no-\])?([a-z][a-z-]+)", text))


class Shells(harness.Case):
    def script(self, shell):
        return self.write(f"c.{shell}", self.call("completion", shell, code=0).out)

    def tool(self, *args, **kw):
        env = self.env | {"PATH": os.path.dirname(harness.COMMAND) + ":" + self.env["PATH"], "TERM": "dumb"}
        return subprocess.run(args, env=env, cwd=self.dir, capture_output=True, text=True, timeout=60, **kw)

    def test_scripts_are_accepted(self):
        for shell in ("bash", "zsh", "fish"):
            with self.subTest(shell):
                if not shutil.which(shell):
                    self.skipTest(f"no {shell} here")
                p = self.tool(shell, "-n", self.script(shell))
                self.assertEqual((p.returncode, p.stderr), (0, ""))

    def bash(self, *words):
        script = self.script("bash")
        quoted = " ".join(f"'{w}'" for w in words)
        code = (f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _framemill; "
                'printf "%s\\n" "${COMPREPLY[@]}"')
        return self.tool("bash", "-c", code).stdout.split()

    @unittest.skipUnless(shutil.which("bash"), "no bash here")
    def test_bash_completes(self):
        self.assertEqual(self.bash("framemill", "do"), ["doctor"])
        self.assertIn("fetch", self.bash("framemill", "models", ""))
        self.assertIn("--batch-timeout-ms", self.bash("framemill", "run", "--ba"))
        self.assertNotIn("--backend", self.bash("framemill", "run", "--ba"))
        self.assertEqual(self.bash("framemill", "run", "--head", "yolox"), ["yolox"])
        self.assertEqual(self.bash("framemill", "run", "--head", "=", "yolov8"), ["yolov8"])
        self.assertIn("yolox-nano", self.bash("framemill", "run", "--detector", "yolox-n"))
        self.assertIn("motion", self.bash("framemill", "run", "--detector", ""))
        self.assertIn("yolox-nano", self.bash("framemill", "models", "fetch", "yolox"))
        self.assertEqual(self.bash("framemill", "run", "--no-c"), ["--no-cache"])
        (self.dir / "a video.mp4").touch()
        self.assertEqual(self.bash("framemill", "run", "a"), ["a", "video.mp4"])

    @unittest.skipUnless(shutil.which("fish"), "no fish here")
    def test_fish_completes(self):
        script = self.script("fish")

        def fish(line):
            out = self.tool("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'").stdout
            return [x.split("\t")[0] for x in out.splitlines()]

        self.assertEqual(fish("framemill docto"), ["doctor"])
        self.assertIn("fetch", fish("framemill models "))
        self.assertIn("--detector", fish("framemill run --det"))
        self.assertIn("yolov8", fish("framemill run --head yolo"))
        self.assertIn("yolox-nano", fish("framemill run --detector yolox"))
        self.assertNotIn("--accept-licence", fish("framemill models list --"))

    def test_every_flag_is_in_every_script(self):
        for name in ("run", "models fetch", "models import", "eval"):
            shown = flags(self.call("help", *name.split(), code=0).out) - {"config"}
            for shell in ("bash", "zsh", "fish"):
                text = self.call("completion", shell, code=0).out
                for flag in shown:
                    self.assertIn(flag, text, f"{shell}: --{flag}")

    def test_man_page(self):
        page = self.write("framemill.1", self.call("help", "--man", code=0).out)
        for flag in flags(self.call("help", "run", code=0).out):
            self.assertIn(flag.replace("-", "\\-"), page.read_text())
        if not shutil.which("mandoc"):
            self.skipTest("no mandoc here")
        p = self.tool("mandoc", "-Tlint", page)
        self.assertEqual((p.returncode, p.stdout), (0, ""))


if __name__ == "__main__":
    harness.main()
