# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill quality: table, JSON, what it says when something is wrong."""
import json
import struct
import zlib

import harness


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, pixel):
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Quality(harness.Case):
    def put(self, name, width=32, height=24, add=0):
        path = self.dir / name
        path.write_bytes(png(width, height, lambda x, y: (min(255, 4 * x + add), 8 * y, 100)))
        return str(path)

    def test_table(self):
        a, b = self.put("a.png"), self.put("b.png", add=10)
        lines = self.call("quality", a, b, code=0).out.splitlines()
        self.assertEqual(lines[0].split(), ["PSNR", "dB", "SSIM"])
        self.assertEqual([line.split()[0] for line in lines[1:]], ["RGB", "Y"])
        self.assertEqual(lines[1].split()[1], "32.902")  # 10 log10(65025 * 3 / 100)

    def test_json(self):
        a, b = self.put("a.png"), self.put("b.png", add=10)
        q = json.loads(self.call("quality", a, b, "--json", code=0).out)
        self.assertEqual((q["a"], q["b"], q["width"], q["height"]), (a, b, 32, 24))
        self.assertAlmostEqual(q["mse_rgb"], 100 / 3, places=6)
        self.assertAlmostEqual(q["psnr_y"], 39.94, places=1)
        self.assertTrue(0.9 < q["ssim_rgb"] < 1 and 0.9 < q["ssim_y"] < 1)

    def test_equal_and_small_pictures(self):
        a, small = self.put("a.png"), self.put("small.png", width=5, height=5)
        self.assertIn("equal  1.00000", self.call("quality", a, a, code=0).out)
        q = json.loads(self.call("quality", a, a, "--json", code=0).out)
        self.assertEqual((q["mse_rgb"], q["psnr_rgb"], q["ssim_rgb"]), (0, None, 1))
        self.assertIn("equal        -", self.call("quality", small, small, code=0).out)
        self.assertIsNone(json.loads(self.call("quality", small, small, "--json", code=0).out)["ssim_y"])

    def test_what_cannot_be_compared(self):
        a, other, text = self.put("a.png"), self.put("other.png", width=33), str(self.write("text.png", "no picture"))
        self.refuse("quality", a, other, says="33x24; only pictures of one size can be compared", code=1)
        self.refuse("quality", a, str(self.dir / "none.png"), says="none.png", code=1)
        self.refuse("quality", a, text, says="text.png", code=1)
        self.refuse("quality", a, says="needs A B")
        self.refuse("quality", a, a, a, says="does not take")


if __name__ == "__main__":
    harness.main()
