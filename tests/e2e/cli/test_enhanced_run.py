# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Frames made better before the models see them: what a model makes of them is what it makes of the files that `framemill enhance` writes.
The built-in networks need no weights; colors gives a frame's mean colours, so that every pixel counts."""
import json
import random

import harness
from test_enhance import CUBE
from test_quality import png

FEATURES = ["--detector", "none", "--embedder", "colors", "--embed", "frames", "--features", "--quiet"]
HOW = ["--denoise", "nlm:h=11:hcolor=9", "--color", "auto,saturation=1.3"]


class EnhancedRun(harness.Case):
    def setUp(self):
        super().setUp()
        rng = random.Random(5)
        (self.dir / "in").mkdir()
        for i in range(3):
            def pixel(x, y, i=i):
                return [max(0, min(255, v + round(rng.gauss(0, 10)))) for v in (50 + x + 20 * i, 30 + 2 * y, 90 if x > 30 else 140)]
            (self.dir / "in" / f"p{i}.png").write_bytes(png(64, 48, pixel))

    def features(self, *args):
        lines = self.lines(self.call("run", *FEATURES, *args, code=0).out)
        return [(x["stream"], x["file"], x["feature"]) for x in lines]

    def of_files(self, *how):
        self.call("enhance", "in", "-o", "out", *how, code=0)
        return [(("in",) + x[1:]) for x in self.features("out")]

    def test_as_the_files_that_enhance_writes(self):
        self.write("swap.cube", CUBE)
        plain = self.features("in")
        for how in (HOW[:2], HOW[2:], ["--lut", "swap.cube"], HOW + ["--lut", "swap.cube"]):
            want = self.of_files(*how)
            self.assertEqual(self.features(*how, "in"), want, how)
            self.assertNotEqual(want, plain)
        self.assertEqual(self.features("--denoise", "none", "--color", "none", "in"), plain)

    def test_streams_say_how_themselves(self):
        self.write("swap.cube", CUBE)
        self.write("c.yaml", "enhance: {color: 'saturation=1.4'}\nstreams:\n  - {name: as_all, url: in}\n"
                             "  - {name: more, url: in, enhance: {lut: swap.cube}}\n  - {name: plain, url: in, enhance: {color: none}}\n")
        got = self.features("--config", "c.yaml")
        plain = self.features("in")
        for name, want in (("as_all", self.of_files("--color", "saturation=1.4")), ("plain", plain),
                           ("more", self.of_files("--color", "saturation=1.4", "--lut", "swap.cube"))):
            self.assertEqual([x[1:] for x in got if x[0] == name], [x[1:] for x in want], name)

    def test_a_stage_of_its_own(self):
        self.call("run", *FEATURES, "--color", "auto", "--frames", "7", "--report", "r.json", "testsrc:64x48@25", code=0)
        stage = json.loads((self.dir / "r.json").read_text())["stages"]["enhance"]
        self.assertEqual(stage["count"], 7)
        self.assertGreater(stage["total_ms"], 0)
        self.call("run", *FEATURES, "--frames", "7", "--report", "r.json", "testsrc:64x48@25", code=0)
        self.assertEqual(json.loads((self.dir / "r.json").read_text())["stages"].get("enhance", {"count": 0})["count"], 0)

    def test_whoever_finds_objects_sees_the_better_frames(self):
        """A table that makes everything one grey leaves nothing to find."""
        self.write("grey.cube", "LUT_3D_SIZE 2\n" + "0.5 0.5 0.5\n" * 8)
        finds = ["run", "--detector", "shapes", "--quiet", "testsrc:192x128@25,frames=3,shapes=3,seed=1"]
        seen = self.lines(self.call(*finds, code=0).out)
        grey = self.lines(self.call(*finds, "--lut", "grey.cube", code=0).out)
        self.assertTrue(all(x["objects"] for x in seen))
        self.assertEqual([x["objects"] for x in grey], [[]] * 3)

    def test_what_is_refused(self):
        src = "testsrc:64x48@25"
        for args, says in ((["--denoise", "strong"], "strong"), (["--color", "sepia"], "sepia"), (["--denoise", "nlm:h=x"], "h"),
                           (["--denoise", "nlm-t:h=5"], "only `enhance` does; take nlm or auto")):
            self.refuse("run", *FEATURES, *args, src, says=says)
        self.refuse("run", *FEATURES, "--lut", "none.cube", src, says="none.cube", code=1)
        self.refuse("run", *FEATURES, "--lut", self.write("b.cube", "LUT_3D_SIZE 2\n"), src, says="b.cube", code=1)
        self.write("c.yaml", f"streams:\n  - {{url: '{src}', enhance: {{sharpen: 1}}}}\n")
        self.refuse("run", "--config", "c.yaml", says="c.yaml:2:")


if __name__ == "__main__":
    harness.main()
