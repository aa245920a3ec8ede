# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill enhance on folders and odd pictures: what fails alone, what ends the run, what is said."""
import json
import os
import resource
import signal
import struct
import zlib

import harness
from test_quality import chunk, png


def png_of(width, height, depth, kind, samples, extra=b""):  # samples: bytes of one pixel
    rows = (b"\0" + samples * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)) + extra + \
        chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bmp(width, height):
    row = b"\10\20\30" * width
    row += b"\0" * (-len(row) % 4)
    return b"BM" + struct.pack("<IHHI", 54 + len(row) * height, 0, 0, 54) + \
        struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(row) * height, 2835, 2835, 0, 0) + row * height


def header(path):  # width, height, depth, kind of a PNG
    return struct.unpack(">IIBB", path.read_bytes()[16:26])


class Pictures(harness.Case):
    def put(self, name, data=None, width=20, height=16, seed=0):
        path = self.dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data or png(width, height, lambda x, y: ((x * 7 + seed) % 256, (y * 11 + x * x) % 256, 100)))
        return path

    def names(self, folder):
        return sorted(f.name for f in (self.dir / folder).iterdir())

    def test_one_corrupt_file_of_a_hundred(self):
        for i in range(100):
            self.put(f"in/p{i}.png", seed=i)
        whole = (self.dir / "in" / "p41.png").read_bytes()
        self.put("in/p41.png", whole[:len(whole) // 2])
        p = self.call("enhance", "in", "-o", "out", "--color", "saturation=1.2", code=3)
        self.assertEqual((p.err.count("\n"), "p41.png" in p.err), (1, True), p.err)
        self.assertEqual(self.names("out"), sorted(f"p{i}.png" for i in range(100) if i != 41))

    def test_a_folder_is_the_same_for_any_number_of_threads(self):
        for i in range(9):
            self.put(f"in/p{i}.png", width=30 + i, height=70 - 7 * i, seed=i)
        flags = "--denoise", "nlm:h=5", "--color", "auto", "--sr", "lanczos:2"
        for threads in ("1", "2", "5", "64"):
            self.call("enhance", "in", "-o", "t" + threads, "--threads", threads, *flags, code=0)
        for i in range(9):
            one = (self.dir / "t1" / f"p{i}.png").read_bytes()
            for threads in ("2", "5", "64"):
                self.assertEqual(one, (self.dir / ("t" + threads) / f"p{i}.png").read_bytes(), f"{i}, {threads} threads")
        # A limit that lets one picture be under way at a time changes nothing either.
        self.call("enhance", "in", "-o", "narrow", "--threads", "5", "--max-pixels", "9000", *flags, code=0)
        self.assertEqual((self.dir / "t1" / "p0.png").read_bytes(), (self.dir / "narrow" / "p0.png").read_bytes())

    def test_what_cannot_be_read_ends_nothing(self):
        for i in range(3):
            self.put(f"in/p{i}.png")
        os.symlink("loop.png", self.dir / "in" / "loop.png")
        os.symlink("nowhere.png", self.dir / "in" / "gone.png")
        os.mkfifo(self.dir / "in" / "a.png")
        locked = self.put("in/locked.png")
        locked.chmod(0)
        p = self.call("enhance", "in", "-o", "out", "--color", "saturation=1.2", code=3)
        can = os.access(locked, os.R_OK)  # by root
        self.assertEqual(p.err.count("left out"), 3 if can else 4, p.err)
        self.assertEqual(self.names("out"), (["locked.png"] if can else []) + ["p0.png", "p1.png", "p2.png"])

    def test_a_full_disk_ends_the_run(self):
        for i in range(5):
            self.put(f"in/p{i}.png", width=200, height=100)

        def limit():  # writes past it fail, as on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        self.refuse("enhance", "in", "-o", "out", "--sr", "lanczos:4", says="out/p", code=1, preexec_fn=limit)
        self.assertEqual(self.names("out"), [])

    def test_made_names_meet_no_others(self):
        self.put("in/a.bmp", bmp(8, 6))
        self.put("in/b.bmp", bmp(9, 6))
        self.put("in/a.bmp.png", width=10, height=6)
        self.call("enhance", "in", "-o", "out", "--sr", "lanczos:2", code=0)
        self.assertEqual(self.names("out"), ["a.bmp-2.png", "a.bmp.png", "b.bmp.png"])
        self.assertEqual([header(self.dir / "out" / n)[0] for n in self.names("out")], [16, 20, 18])

    def test_folders_inside_are_left_out_and_said(self):
        self.put("in/p.png")
        self.put("in/q.png")
        (self.dir / "in" / "deeper").mkdir()
        p = self.call("enhance", "in", "-o", "in/out", "--sr", "lanczos:2", code=0)
        self.assertIn("left out: 1 folder in 'in'", p.err)
        self.assertEqual(self.names("in/out"), ["p.png", "q.png"])
        self.refuse("enhance", "in", "-o", "in", "--sr", "lanczos:2", says="choose another output")
        self.refuse("enhance", "in", "-o", "./in/../in", "--sr", "lanczos:2", says="choose another output")
        (self.dir / "link").symlink_to("in")
        self.refuse("enhance", "in", "-o", "link", "--sr", "lanczos:2", says="choose another output")

    def test_two_names_of_a_file_that_is_not_there_yet(self):
        self.put("p.png")
        for other in ("./x.png", str(self.dir / "x.png"), "../" + self.dir.name + "/x.png"):
            self.refuse("enhance", "p.png", "-o", "x.png", "--compare", other, "--sr", "lanczos:2", says="another name")
        self.call("enhance", "p.png", "-o", "x.png", "--compare", "y.png", "--sr", "lanczos:2", code=0)

    def test_one_pixel_of_every_kind(self):
        flags = "--denoise", "auto", "--color", "auto", "--sr", "lanczos:4"
        for kind, channels in ((0, 1), (4, 2), (2, 3), (6, 4)):
            for depth in (8, 16):
                self.put("one.png", png_of(1, 1, depth, kind, b"\x40" * (channels * depth // 8)))
                for name in ("o.png", "o.tif", "o.webp"):
                    self.call("enhance", "one.png", "-o", name, *flags, code=0)
                self.assertEqual(header(self.dir / "o.png"), (4, 4, depth, kind))

    def test_sixteen_bits_stay(self):
        self.put("deep.png", png_of(24, 20, 16, 2, struct.pack(">HHH", 1003, 40007, 65001)))
        self.call("enhance", "deep.png", "-o", "o.png", "--sr", "lanczos:2", code=0)
        data = (self.dir / "o.png").read_bytes()
        self.assertEqual(header(self.dir / "o.png"), (48, 40, 16, 2))
        self.assertIsNone(json.loads(self.call("quality", "o.png", "o.png", "--json", code=0).out)["psnr_rgb"])
        self.put("want.png", png_of(48, 40, 16, 2, struct.pack(">HHH", 1003, 40007, 65001)))
        self.assertEqual(json.loads(self.call("quality", "o.png", "want.png", "--json", code=0).out)["mse_rgb"], 0)
        self.put("low.png", png_of(48, 40, 16, 2, struct.pack(">HHH", 1004, 40007, 65001)))  # one of 65535 apart
        q = json.loads(self.call("quality", "o.png", "low.png", "--json", code=0).out)
        self.assertAlmostEqual(q["psnr_rgb"], 101.101, places=2)  # 10 log10(3 * 65535^2)
        self.assertGreater(len(data), 100)

    def test_animations_give_their_first_picture(self):
        control = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 6, 0, 0, 1, 10, 0, 0))
        self.put("moving.png", png_of(8, 6, 8, 2, b"\1\2\3", control))
        p = self.call("enhance", "moving.png", "-o", "o.png", "--sr", "lanczos:2", code=0)
        self.assertIn("holds 2 pictures: the first one is taken", p.err)
        self.put("in/moving.png", png_of(8, 6, 8, 2, b"\1\2\3"))
        self.assertEqual(self.call("enhance", "in/moving.png", "-o", "o.png", "--sr", "lanczos:2", code=0).err, "")
        self.put("gif.png", b"GIF89a\1\0\1\0\0\0\0;")
        self.refuse("enhance", "gif.png", "-o", "o.png", "--sr", "lanczos:2", says="not a JPEG, PNG, WebP or TIFF picture", code=1)

    def test_the_limit_of_pixels(self):
        data = zlib.compress((b"\0" + b"\1\2\3" * 20000) * 2)
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0))
        self.put("huge.png", b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b""))
        says = "20000x20000, more than the limit of 134217728 pixels; --max-pixels raises it"
        self.refuse("enhance", "huge.png", "-o", "x.png", "--color", "auto", says=says, code=1)
        self.put("p.png", width=100, height=100)
        self.refuse("enhance", "p.png", "-o", "x.png", "--sr", "lanczos:2", "--max-pixels", "39999", says="200x200, more than", code=1)
        self.call("enhance", "p.png", "-o", "x.png", "--sr", "lanczos:2", "--max-pixels", "40000", code=0)
        for value in ("0", "-3", "many"):
            self.refuse("enhance", "p.png", "-o", "y.png", "--sr", "lanczos:2", "--max-pixels", value, says="max-pixels")

    def test_quality_of_lossy_kinds(self):
        self.put("p.png", width=120, height=90)
        for kind in ("jpg", "webp"):
            size = {}
            for q in ("10", "60", "95", "100"):
                self.call("enhance", "p.png", "-o", f"q{q}.{kind}", "--quality", q, "--color", "saturation=1.1", code=0)
                size[q] = (self.dir / f"q{q}.{kind}").stat().st_size
            self.assertTrue(size["10"] < size["60"] < size["95"] < size["100"], size)
            self.call("enhance", "p.png", "-o", f"d.{kind}", "--color", "saturation=1.1", code=0)
            self.assertEqual((self.dir / f"d.{kind}").read_bytes(), (self.dir / f"q95.{kind}").read_bytes())
        self.refuse("enhance", "p.png", "-o", "x.jpg", "--quality", "101", "--color", "auto", says="quality")

    def test_truncated_files(self):
        whole = png(60, 50, lambda x, y: ((x * y * 37) % 256, (x * 91) % 256, (y * 53) % 256))
        for part in (0, 7, 20, 40, 200, len(whole) // 2, len(whole) - 30):
            self.put("cut.png", whole[:part] or b"")
            (self.dir / "cut.png").write_bytes(whole[:part])
            self.refuse("enhance", "cut.png", "-o", "x.png", "--sr", "lanczos:2", says="cut.png", code=1)
            self.assertFalse((self.dir / "x.png").exists())


if __name__ == "__main__":
    harness.main()
