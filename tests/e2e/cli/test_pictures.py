# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill enhance on pictures: what goes along with the colours (Pillow looks), and which output is whose. Exit code 77 where Pillow is missing."""
import os
import shutil
import sys

import harness

try:
    import numpy as np
    from PIL import Image, ImageCms
except ImportError:
    print("skipped: no Pillow")
    sys.exit(77)

KINDS = ("jpg", "png", "webp", "tif")
MAKE, ORIENTATION = 0x010F, 0x0112
SATURATE = ["--color", "saturation=1.1"]


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Pictures(harness.Case):
    def colours(self, width=40, height=30):
        y, x = np.mgrid[:height, :width]
        return np.stack([x * 5 % 256, y * 7 % 256, (x + y) * 3 % 256], -1).astype(np.uint8)

    def put(self, name, array, **info):
        Image.fromarray(array).save(self.dir / name, **info)
        return name

    def open(self, name):
        image = Image.open(self.dir / name)
        image.load()
        return image

    def test_exif_profile_and_resolution_go_along(self):
        exif = Image.Exif()
        exif[MAKE], exif[ORIENTATION] = "A maker", 6
        self.put("in.jpg", self.colours(), exif=exif, icc_profile=PROFILE, dpi=(300, 300), quality=95)
        for kind in KINDS:
            self.call("enhance", "in.jpg", "-o", f"out.{kind}", *SATURATE, "--sr", "lanczos:2", code=0)
            out = self.open(f"out.{kind}")
            self.assertEqual(out.size, (60, 80), kind)  # turned upright, once
            self.assertEqual(out.getexif().get(ORIENTATION, 1), 1, kind)
            self.assertEqual(out.info.get("icc_profile"), PROFILE, kind)
            if kind != "tif":  # a TIFF has no EXIF here
                self.assertEqual(out.getexif().get(MAKE), "A maker", kind)
            if kind != "webp":
                self.assertAlmostEqual(out.info["dpi"][0], 300, delta=0.1)
        self.call("enhance", "in.jpg", "-o", "bare.jpg", *SATURATE, "--strip", code=0)
        bare = self.open("bare.jpg")
        self.assertEqual((dict(bare.getexif()), bare.info.get("icc_profile")), ({}, None))

    def test_alpha_is_kept_and_colours_under_it_too(self):
        alpha = np.zeros((30, 40), np.uint8)
        alpha[:, 20:] = 255
        rgba = np.dstack([self.colours(), alpha])
        for source in ("png", "tif", "webp"):
            self.put(f"in.{source}", rgba, **({"lossless": True, "exact": True} if source == "webp" else {}))
            for kind in ("png", "tif"):
                self.call("enhance", f"in.{source}", "-o", f"same.{kind}", "--color", "gamma=1.0001", code=0)
                got = np.asarray(self.open(f"same.{kind}"))
                self.assertEqual(got.shape, (30, 40, 4))
                self.assertTrue((got[..., 3] == alpha).all())
                self.assertLessEqual(np.abs(got[..., :3].astype(int) - rgba[..., :3]).max(), 1)
        self.call("enhance", "in.png", "-o", "big.png", "--sr", "lanczos:2", code=0)
        big = np.asarray(self.open("big.png"))
        self.assertEqual(big.shape, (60, 80, 4))
        self.assertTrue((big[:, :32, 3] == 0).all() and (big[:, 48:, 3] == 255).all())
        p = self.call("enhance", "in.png", "-o", "flat.jpg", *SATURATE, "--quality", "100", code=0)
        self.assertIn("over white", p.err)
        self.assertGreaterEqual(np.asarray(self.open("flat.jpg"))[:, :16].min(), 250)

    def test_grey_stays_grey_unless_a_table_colours_it(self):
        self.put("g.png", self.colours()[..., 0])
        for kind in ("png", "jpg", "tif"):
            self.call("enhance", "g.png", "-o", f"o.{kind}", "--denoise", "nlm:h=4", "--color", "auto", "--sr", "lanczos:2", code=0)
            self.assertEqual(self.open(f"o.{kind}").mode, "L")
        cube = "LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {0}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))
        self.call("enhance", "g.png", "-o", "yellow.png", "--lut", self.write("y.cube", cube), code=0)
        got = np.asarray(self.open("yellow.png"))
        self.assertEqual(got.shape, (30, 40, 3))
        self.assertTrue((got[..., 2] == 0).all())

    def test_quality(self):
        noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
        self.put("n.png", noise)
        sizes = []
        for quality in ("20", "95"):
            self.call("enhance", "n.png", "-o", "q.jpg", *SATURATE, "--quality", quality, code=0)
            sizes.append((self.dir / "q.jpg").stat().st_size)
        self.assertGreater(sizes[1], 2 * sizes[0])
        self.refuse("enhance", "n.png", "-o", "q.png", *SATURATE, "--quality", "50", says="lose nothing")

    def test_one_file_under_two_names(self):
        self.put("a.png", self.colours())
        self.refuse("enhance", "a.png", "-o", "x.png", "--compare", "./x.png", *SATURATE, says="choose another name")
        self.refuse("enhance", "a.png", "-o", "./a.png", *SATURATE, says="choose another output")
        os.symlink(self.dir, self.dir / "here")
        self.refuse("enhance", "a.png", "-o", "x.png", "--compare", "here/x.png", *SATURATE, says="choose another name")

    def test_a_hundred_with_one_that_is_damaged(self):
        (self.dir / "in").mkdir()
        for i in range(100):
            self.put(f"in/{i:03}.jpg", self.colours(16, 12))
        (self.dir / "in" / "050.jpg").write_bytes(b"\xff\xd8\xff" + b"junk" * 9)
        p = self.call("enhance", "in", "-o", "out", *SATURATE, code=3)
        self.assertEqual(p.err.count("\n"), 1)
        self.assertEqual(len(list((self.dir / "out").iterdir())), 99)

    def test_one_that_may_not_be_read_holds_up_no_other(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        (self.dir / "in").mkdir()
        for name in ("a", "b", "c"):
            self.put(f"in/{name}.png", self.colours(8, 8))
        (self.dir / "in" / "b.png").chmod(0)
        self.call("enhance", "in", "-o", "out", *SATURATE, code=3)
        self.assertEqual(sorted(p.name for p in (self.dir / "out").iterdir()), ["a.png", "c.png"])

    def test_names_that_would_clash(self):
        (self.dir / "in").mkdir()
        self.put("in/a.bmp", self.colours(8, 8))
        self.put("in/a.bmp.png", self.colours(16, 16))
        self.call("enhance", "in", "-o", "out", *SATURATE, code=0)
        self.assertEqual({p.name: self.open(p).size for p in (self.dir / "out").iterdir()}, {"a.bmp.png": (16, 16), "a.bmp-2.png": (8, 8)})

    def test_odd_ones(self):
        odd = harness.DATA / "images" / "odd"
        if not odd.is_dir():
            self.skipTest("the data folder is missing")
        for path in sorted(odd.iterdir()):
            shutil.copy(path, self.dir / path.name)
            p = self.call("enhance", path.name, "-o", "out.png", *SATURATE)
            if p.returncode == 0:
                with Image.open(path) as before, self.open("out.png") as after:
                    turned = before.getexif().get(ORIENTATION, 1) > 4 if path.suffix != ".png" else False
                    self.assertEqual(after.size, before.size[::-1] if turned else before.size, path.name)
                    self.assertEqual("A" in after.getbands(), "A" in before.getbands() or "transparency" in before.info, path.name)
            else:
                self.assertEqual((p.returncode, p.err.count("\n")), (1, 1), path.name + p.err)
                self.assertIn(path.name, p.err)


if __name__ == "__main__":
    harness.main()
