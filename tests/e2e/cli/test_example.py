# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The files of examples/ do what they say."""
import struct
import subprocess
import sys
import zlib

import harness

OWN = sys.argv.pop() if len(sys.argv) > 3 else ""
FRAMES = sys.argv.pop() if len(sys.argv) > 2 else ""
EXAMPLE = sys.argv.pop() if len(sys.argv) > 1 else ""


def png(width, height, color):
    """A PNG of one colour (W3C PNG, section 5)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(color) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


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
                rows[y][3 * i:3 * (i + 20)] = bytes([230, 240, 220]) * 20
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

    def test_a_network_of_ones_own(self):
        (self.dir / "pictures").mkdir()
        for name, color in (("1", (250, 20, 20)), ("2", (20, 250, 20)), ("3", (20, 20, 250))):
            (self.dir / "pictures" / f"{name}.png").write_bytes(png(20, 10, color))
        p = subprocess.run([OWN, self.dir / "pictures"], capture_output=True, text=True, env=self.env, timeout=60)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual([line.split()[2] for line in p.stdout.splitlines()], ["red", "green", "blue"])

    def test_the_configuration(self):
        self.refuse("run", "--config", harness.ROOT / "examples/site.yaml", "--out", "o", "--report", "r.json", "testsrc:64x48@5",
                    code=1, says="models fetch yolox-nano")


if __name__ == "__main__":
    harness.main()
