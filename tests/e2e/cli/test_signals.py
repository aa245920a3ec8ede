# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Ctrl-C once and twice, SIGTERM, a reader that goes away, the progress line of a terminal."""
import json
import os
import pty
import select
import signal
import subprocess

import harness
from harness import DETECT

ENDLESS = "testsrc:64x48@50"


class Signals(harness.Case):
    def started(self, *args, **kw):
        """A run without end, once its first line is out. It heeds SIGHUP, even where whoever started the tests does not."""
        kw.setdefault("preexec_fn", lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        p = self.start(*DETECT, *args, ENDLESS, **kw)
        first = p.stdout.readline()
        self.assertTrue(first.endswith(b"\n"))
        return p, first

    def test_one_signal_drains(self):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            p, first = self.started("--realtime", "--report", "r.json")
            p.send_signal(sig)
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 130, err)
            frames = [x["frame"] for x in self.lines((first + out).decode())]
            self.assertEqual(frames, list(range(len(frames))))
            report = json.loads((self.dir / "r.json").read_text())
            self.assertEqual(report["frames"], len(frames))
            self.assertIn(b"all ", err)

    def test_two_signals_abort_with_whole_lines(self):
        p, first = self.started()
        p.send_signal(signal.SIGINT)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130, err)
        self.lines((first + out).decode())

    def test_files_are_whole_after_a_signal(self):
        p = self.start(*DETECT, "--out", "o", "--realtime", ENDLESS)
        path = self.dir / "o" / "testsrc.jsonl"
        while p.poll() is None and not (path.exists() and path.stat().st_size > 0):
            select.select([], [], [], 0.01)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130)
        self.assertTrue(self.lines(path.read_text()))

    def test_killed_process_leaves_whole_lines(self):
        p = self.start(*DETECT, "--out", "o", ENDLESS)
        path = self.dir / "o" / "testsrc.jsonl"
        while p.poll() is None and not (path.exists() and path.stat().st_size > 10000):
            select.select([], [], [], 0.01)
        p.kill()
        p.communicate(timeout=60)
        self.assertTrue(self.lines(path.read_text()))

    def test_signals_that_were_switched_off_stay_off(self):
        for sig in (signal.SIGHUP, signal.SIGINT):
            p = self.start(*DETECT, "--realtime", "--frames", "25", ENDLESS,
                           preexec_fn=lambda sig=sig: signal.signal(sig, signal.SIG_IGN))
            first = p.stdout.readline()
            p.send_signal(sig)
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
            self.assertEqual(len(self.lines((first + out).decode())), 25)

    def test_a_reader_that_has_seen_enough(self):
        p, _ = self.started()
        p.stdout.close()
        err = p.stderr.read().decode()
        self.assertEqual(p.wait(60), 0, err)
        p.stderr.close()
        self.assertEqual(err, "")
        # Slow streams too: nothing is being written when the reader leaves.
        p = self.start(*DETECT, "--realtime", "testsrc:64x48@0.1")
        p.stdout.readline()
        p.stdout.close()
        err = p.stderr.read().decode()
        self.assertEqual(p.wait(60), 0, err)
        p.stderr.close()
        self.assertEqual(err, "")

    def test_progress_on_a_terminal(self):
        try:
            master, slave = pty.openpty()
        except OSError as e:
            self.skipTest(f"no terminal to be had: {e}")
        p = self.start(*DETECT, "--realtime", "--frames", "40", ENDLESS, stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        text = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the terminal's other side is closed
                break
            if not piece:
                break
            text += piece
        os.close(master)
        self.assertEqual(p.wait(60), 0)
        self.assertRegex(text, rb"\d+/40 frames  [\d.]+/s  1 of 1 streams")
        # The last line is taken away before the summary.
        self.assertIn(b"\r\x1b[Kstream", text)
        self.assertRegex(text.split(b"\r\x1b[K")[-1], rb"all +40 ")


if __name__ == "__main__":
    harness.main()
