# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Runs the command as a user would: in an empty folder, with no models, its own HOME, and nothing of the caller's settings."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

COMMAND = os.environ.get("FM_FRAMEMILL", "")
ROOT = pathlib.Path(os.environ.get("FM_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[3]))
DATA = pathlib.Path(os.environ.get("FM_DATA", ROOT / ".." / "shared" / "data"))
DETECT = ["run", "--detector", "motion"]
SECRET = "s3cr3tpw"


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fm-cli-"))
        # TBB's own way of loading libraries does not suit AddressSanitizer, unless it is told.
        self.env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.dir), "LC_ALL": "C.UTF-8",
                    "TBB_ENABLE_SANITIZERS": "1"}
        self.env |= {k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "UBSAN_", "LSAN_", "TSAN_", "LD_"))}

    def tearDown(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, *args, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        kw.setdefault("stdin", subprocess.DEVNULL)
        # No buffer on this side: communicate() reads past one, and what a readline() before it had taken in is lost.
        kw.setdefault("bufsize", 0)
        env = self.env | kw.pop("env", {})
        return subprocess.Popen([COMMAND, *map(str, args)], cwd=self.dir, env=env, **kw)

    def call(self, *args, code=None, **kw):
        p = self.start(*args, **kw)
        out, err = p.communicate(timeout=100)
        p.out, p.err = (out or b"").decode(), (err or b"").decode()
        if code is not None:
            self.assertEqual(p.returncode, code, f"{args}\n{p.out[-2000:]}\n{p.err[-2000:]}")
        return p

    def refuse(self, *args, says, code=2, **kw):
        """The command leaves with `code` and one line on stderr that holds `says`; nothing on stdout."""
        p = self.call(*args, code=code, **kw)
        self.assertIn(says, p.err)
        self.assertTrue(p.err.startswith("framemill: "), p.err)
        self.assertEqual(p.err.count("\n"), 1, p.err)
        self.assertEqual(p.out, "")
        return p

    def lines(self, text):
        """JSON Lines: every line whole and an object."""
        self.assertTrue(text == "" or text.endswith("\n"), text[-80:])
        return [json.loads(line) for line in text.splitlines()]

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path


def main():
    if not COMMAND:
        print("FM_FRAMEMILL is not set: run these through meson test", file=sys.stderr)
        sys.exit(77)
    unittest.main()
