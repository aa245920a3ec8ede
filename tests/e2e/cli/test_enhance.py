# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill enhance: pictures and folders, what it writes, what it refuses, what it leaves behind."""
import json
import random
import resource
import signal
import struct
import zlib

import harness
from test_quality import chunk, png

CUBE = "LUT_3D_SIZE 2\n" + "".join(f"{b} {g} {r}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))  # swaps R and B


def noisy(x, y, state=random.Random(3)):
    return [max(0, min(255, v + round(state.gauss(0, 12)))) for v in (60 + x, 40 + 2 * y, 100)]


def clean(x, y):
    return 60 + x, 40 + 2 * y, 100


class Enhance(harness.Case):
    def put(self, name, width=64, height=48, pixel=noisy):
        path = self.dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(width, height, pixel))
        return str(path)

    def quality(self, a, b):
        return json.loads(self.call("quality", a, b, "--json", code=0).out)

    def test_denoising_brings_a_picture_closer_to_the_clean_one(self):
        ref, bad, out = self.put("ref.png", pixel=clean), self.put("bad.png"), self.dir / "out.png"
        before = self.quality(ref, bad)["psnr_rgb"]
        for how in ("auto", "nlm:h=12", "nlm:h=12:hcolor=10"):
            p = self.call("enhance", bad, "-o", out, "--denoise", how, code=0)
            self.assertEqual((p.out, p.err), ("", ""))
            self.assertGreater(self.quality(ref, out)["psnr_rgb"], before + 4, how)

    def test_every_kind_of_picture(self):
        bad = self.put("bad.png")
        for name, magic in (("a.png", b"\x89PNG"), ("a.jpg", b"\xff\xd8\xff"), ("a.JPEG", b"\xff\xd8\xff"),
                            ("a.webp", b"RIFF"), ("a.tif", b"II"), ("a.tiff", b"II")):
            self.call("enhance", bad, "--output", name, "--color", "auto", code=0)
            self.assertTrue((self.dir / name).read_bytes().startswith(magic), name)
        self.assertEqual(self.quality("a.png", "a.tif")["mse_rgb"], 0)

    def test_enlarging_and_comparing(self):
        bad = self.put("bad.png", width=21, height=10)
        self.call("enhance", bad, "-o", "big.png", "--sr", "lanczos:3", "--compare", "both.png", code=0)
        self.assertEqual(struct.unpack(">II", (self.dir / "big.png").read_bytes()[16:24]), (63, 30))
        self.assertEqual(struct.unpack(">II", (self.dir / "both.png").read_bytes()[16:24]), (126, 30))

    def test_enlarging_by_a_network(self):
        small = self.put("small.png", width=21, height=10)
        for how, scale in (("double", 2), ("x2", 2), ("x3", 3), ("x4", 4)):
            p = self.call("enhance", small, "-o", f"{how}.png", "--sr", how, "--compare", "both.png")
            if "not in this build" in p.err:
                self.skipTest(p.err)
            self.assertEqual((p.returncode, p.err), (0, ""))
            size, both = ((self.dir / n).read_bytes()[16:24] for n in (f"{how}.png", "both.png"))
            self.assertEqual(struct.unpack(">II", size), (21 * scale, 10 * scale), how)
            self.assertEqual(struct.unpack(">II", both), (42 * scale, 10 * scale), how)
        self.call("enhance", small, "-o", "tiled.png", "--sr", "x2", "--sr-tile", "17", code=0)
        self.assertLess(self.quality("x2.png", "tiled.png")["mse_rgb"], 0.01)
        self.assertFalse((self.dir / ".local").exists())  # nothing was fetched

    def test_networks_that_cannot_enlarge(self):
        small = self.put("small.png", width=21, height=10)
        for args, says, code in [
            (["--sr", "shapes"], "'shapes' is a detector", 2),
            (["--sr", "yolox-nano"], "'yolox-nano' is a detector", 2),
            (["--sr", "x5"], "there is no model 'x5'", 1),
            (["--sr", "no.onnx"], "'no.onnx'", 1),
            (["--sr", "fsrcnn-x2"], "run: framemill models fetch fsrcnn-x2", 1),
            (["--sr", "double", "--sr-tile", "-1"], "--sr-tile", 2),
            (["--sr", "x2", "--sr-tile", "16"], "at least 17 a side", 2),
            (["--sr", "x2", "--device", "tpu"], "tpu", 1),
            (["--sr", "x2", "--precision", "fp4"], "--precision", 2),
        ]:
            with self.subTest(args):
                p = self.call("enhance", small, "-o", "x.png", *args)
                if "not in this build" in p.err:
                    continue
                self.assertEqual((p.returncode, p.err.count("\n")), (code, 1), p.err)
                self.assertIn(says, p.err)
        self.assertFalse((self.dir / "x.png").exists())

    def test_lut_and_one_pixel(self):
        one = self.put("one.png", 1, 1, lambda x, y: (200, 100, 50))
        self.call("enhance", one, "-o", "swapped.png", "--lut", self.write("swap.cube", CUBE), code=0)
        ref = self.put("want.png", 1, 1, lambda x, y: (50, 100, 200))
        self.assertEqual(self.quality(ref, "swapped.png")["mse_rgb"], 0)
        self.call("enhance", one, "-o", "o.png", "--denoise", "nlm:h=9", "--color", "auto", "--sr", "lanczos:4", code=0)

    def test_folder_with_a_corrupt_file(self):
        for i in range(10):
            self.put(f"in/p{i}.png", width=20, height=16)
        (self.dir / "in" / "p4.png").write_bytes((self.dir / "in" / "p4.png").read_bytes()[:90])
        (self.dir / "in" / "notes.txt").write_text("not a picture")
        p = self.call("enhance", "in", "-o", "out/deep", "--color", "clahe=2", code=3)
        self.assertEqual(p.err.count("\n"), 1, p.err)
        self.assertIn("p4.png", p.err)
        self.assertEqual(sorted(f.name for f in (self.dir / "out" / "deep").iterdir()),
                         [f"p{i}.png" for i in range(10) if i != 4])
        self.refuse("enhance", "in", "-o", "in", "--color", "auto", says="choose another output")
        self.refuse("enhance", "in", "-o", "out", "--color", "auto", "--compare", "c.png", says="is a folder")

    def test_what_is_refused(self):
        bad = self.put("bad.png")
        old = (self.dir / "bad.png").read_bytes()
        for args, says in [
            ([bad], "needs -o OUT"),
            ([bad, "-o"], "--output needs a value"),
            ([bad, "-o", "x.png"], "nothing to do"),
            ([bad, "-o", "x.png", "--denoise", "median"], "denoise: expected auto, none, nlm"),
            ([bad, "-o", "x.png", "--denoise", "nlm-t"], "bad.png' is no video; take nlm or auto"),
            ([".", "-o", "x", "--denoise", "nlm-t:frames=5"], "is no video"),
            (["film.mp4", "-o", "x.mp4", "--denoise", "nlm-t:frames=9"], "3 or 5 is expected"),
            ([bad, "-o", "x.png", "--color", "vivid"], "color: expected auto, none, wb="),
            ([bad, "-o", "x.png", "--sr", "lanczos:5"], "sr: expected none, x2"),
            ([bad, "-o", "x.gif", "--sr", "lanczos:2"], "ends in .png, .jpg, .webp or .tif"),
            ([bad, "-o", bad, "--sr", "lanczos:2"], "choose another output"),
            ([bad, "-o", "./bad.png", "--sr", "lanczos:2"], "choose another output"),
            ([bad, "-o", "x.png", "--sr", "lanczos:2", "--compare", bad], "choose another output"),
            ([bad, "-o", "x.png", "--sr", "lanczos:2", "--compare", "x.png"], "another name"),
        ]:
            self.refuse("enhance", *args, says=says)
        self.refuse("enhance", "none.png", "-o", "x.png", "--color", "auto", says="none.png", code=1)
        self.refuse("enhance", bad, "-o", "no/x.png", "--color", "auto", says="no/x.png", code=1)
        self.refuse("enhance", bad, "-o", "x.png", "--lut", self.write("b.cube", "LUT_3D_SIZE 2\n"), says="b.cube", code=1)
        self.assertEqual((self.dir / "bad.png").read_bytes(), old)
        self.assertFalse((self.dir / "x.png").exists())

    def test_too_many_pixels(self):
        self.put("wide.png", 10000, 1, lambda x, y: (1, 2, 3))
        self.call("enhance", "wide.png", "-o", "w.png", "--sr", "lanczos:4", code=0)
        self.put("wider.png", 20000, 1, lambda x, y: (1, 2, 3))
        self.refuse("enhance", "wider.png", "-o", "x.png", "--sr", "lanczos:4", says="80000x4", code=1)
        for name, width, height, rows, says in [("large.png", 16000, 600, 600, "64000x2400, more than the limit"),
                                                ("huge.png", 20000, 20000, 1, "20000x20000, more than the limit")]:
            data = zlib.compress((b"\0" + b"\1\2\3" * width) * rows)
            header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
            (self.dir / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
            self.refuse("enhance", name, "-o", "x.png", "--sr", "lanczos:4", says=says, code=1)

    def test_a_full_disk_leaves_no_half_file(self):
        bad = self.put("bad.png")

        def limit():  # writes past it fail, as on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        self.refuse("enhance", bad, "-o", "x.png", "--sr", "lanczos:4", says="x.png", code=1, preexec_fn=limit)
        self.assertEqual([f.name for f in self.dir.iterdir()], ["bad.png"])


if __name__ == "__main__":
    harness.main()
