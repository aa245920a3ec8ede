# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The files of examples/ do what they say."""
import subprocess
import sys

import harness

FRAMES = sys.argv.pop() if len(sys.argv) > 2 else ""
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

    def test_frames_of_ones_own(self):
        def frame(i):  # a block walks over noise that stays the same
            rows = [bytearray((7 * x + 13 * y) % 5 + 90 for x in range(96 * 3)) for y in range(64)]
            for y in range(20, 40):
                rows[y][3 * i:3 * (i + 20)] = bytes([20, 40, 230]) * 20
            return b"".join(rows)
        frames = b"".join(frame(i) for i in range(60))
        p = subprocess.run([FRAMES, harness.ROOT / "share/framemill", self.dir, "motion", "96", "64"], input=frames + b"half a frame",
                           capture_output=True, env=self.env, timeout=60)
        self.assertEqual(p.returncode, 0, p.stderr)
        lines = self.lines(p.stdout.decode())
        self.assertEqual([x["frame"] for x in lines], list(range(60)))
        x, y, w, h = lines[-1]["objects"][0]["box"]
        self.assertLess(abs(x + w / 2 - 69), 12)
        self.assertLess(abs(y + h / 2 - 30), 8)
        for args, says in ((["motion", "0", "64"], "sides"), (["yolox-nano", "96", "64"], "models fetch yolox-nano")):
            p = subprocess.run([FRAMES, harness.ROOT / "share/framemill", self.dir, *args], input=frames, capture_output=True,
                               env=self.env, timeout=60)
            self.assertEqual(p.returncode, 1)
            self.assertIn(says, p.stderr.decode())

    def test_the_configuration(self):
        self.refuse("run", "--config", harness.ROOT / "examples/site.yaml", "--out", "o", "--report", "r.json", "testsrc:64x48@5",
                    code=1, says="models fetch yolox-nano")


if __name__ == "__main__":
    harness.main()
