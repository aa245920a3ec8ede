# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The files of examples/ do what they say."""
import subprocess
import sys

import harness

EXAMPLE = sys.argv.pop() if len(sys.argv) > 1 else ""


class Examples(harness.Case):
    def test_the_program(self):
        p = subprocess.run([EXAMPLE, harness.ROOT / "share/framemill", self.dir, "motion", "testsrc:160x120@25,frames=40"],
                           capture_output=True, text=True, env=self.env, timeout=60)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertRegex(p.stdout, r"testsrc frame \d+: \d+ objects, surest motion at ")
        self.assertRegex(p.stdout, r"(?m)^ +\d+ motion$")
        p = subprocess.run([EXAMPLE, harness.ROOT / "share/framemill", self.dir, "yolox-nano", "testsrc:64x48@5"],
                           capture_output=True, text=True, env=self.env, timeout=60)
        self.assertEqual(p.returncode, 1)
        self.assertIn("models fetch yolox-nano", p.stderr)

    def test_the_configuration(self):
        self.refuse("run", "--config", harness.ROOT / "examples/site.yaml", "--out", "o", "--report", "r.json", "testsrc:64x48@5",
                    code=1, says="models fetch yolox-nano")


if __name__ == "__main__":
    harness.main()
