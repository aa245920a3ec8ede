# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""`framemill cluster`: the configuration of `run` over a cluster of several nodes, killed and gone on with, and what it says of itself."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import COMMAND, HOME
from ray_cluster import Nodes, ray, wait_for

SITE = """
detector: motion
tracker: bytetrack
streams:
  - {{name: gate, url: "testsrc:192x128@25,frames={frames},seed=1"}}
  - {{name: yard, url: "testsrc:192x128@25,frames={frames},seed=2", start_frame: 5}}
  - {{name: hall, url: "testsrc:192x128@25,frames=50,seed=3"}}
"""
nodes = None


def setUpModule():
    global nodes
    if ray is None:
        raise unittest.SkipTest("the package ray is missing")
    nodes = Nodes(2)


def tearDownModule():
    if nodes:
        nodes.close()


class Cluster(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=HOME))
        self.out = self.folder / "out"

    def site(self, text):
        path = self.folder / "site.yaml"
        path.write_text(text)
        return path

    def start(self, *words, python=sys.executable, **env):
        return subprocess.Popen([COMMAND, "cluster", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL, env={**os.environ, "FRAMEMILL_PYTHON": python, **env})

    def call(self, *words, code=0, **env):
        p = self.start(*words, **env)
        out, err = p.communicate(timeout=240)
        self.assertEqual(p.returncode, code, out + err)
        return out, err

    def alone(self, site):
        subprocess.run([COMMAND, "run", "--config", site, "--out", self.folder / "alone", "--quiet"], check=True)
        return {p.name: p.read_bytes() for p in (self.folder / "alone").glob("*.jsonl")}

    def lines(self):
        return {p.name: p.read_bytes() for p in self.out.glob("*.jsonl")}

    def test_what_run_says(self):
        site = self.site(SITE.format(frames=200))
        out, err = self.call("run", site, "--address", nodes.address, "--out", self.out, "--json", "--report", self.folder / "r.json")
        self.assertEqual(self.lines(), self.alone(site))
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["gate.jsonl", "hall.jsonl", "yard.jsonl"])
        report = json.loads(out)
        self.assertEqual(report, json.loads((self.folder / "r.json").read_text()))
        self.assertEqual({n: s["frames"] for n, s in report["streams"].items()}, {"gate": 200, "yard": 195, "hall": 50})
        self.assertEqual({w["node"] for w in report["workers"]}, {n.node_id for n in nodes.nodes})
        self.assertRegex(err, r"^445 frames of 3 streams in \d+\.\d s, \d+ objects\n$")

    def test_lines_to_standard_output(self):
        site = self.site(SITE.format(frames=60))
        out, _ = self.call("run", site, "--address", nodes.address, "--quiet")
        wanted = b"".join(self.alone(site).values()).decode()
        self.assertEqual(sorted(out.splitlines()), sorted(wanted.splitlines()))

    def test_killed_and_gone_on_with(self):
        site = self.site(SITE.format(frames=4000))
        words = ("run", site, "--address", nodes.address, "--out", self.out, "--quiet", "--checkpoint-every", "10")
        p = self.start(*words)
        wait_for(lambda: list(self.out.glob(".cluster/*")))
        name, status = wait_for(lambda: next(((n, r) for n, r in self.status()["runs"].items() if r.get("progress")), None))
        self.assertIn(str(p.pid), name)
        self.assertEqual(status["progress"]["streams"], 3)
        self.assertIsNone(p.poll(), "it was over before it could be killed: it needs more frames")
        p.kill()
        p.communicate()
        _, err = self.call(*words, code=2)
        self.assertRegex(err, r"^framemill: '.*' holds a run that did not come to its end: .*--resume")
        self.call(*words, "--resume")
        self.assertEqual(self.lines(), self.alone(site))
        self.assertFalse((self.out / ".cluster").exists())

    def status(self):
        return json.loads(self.call("status", "--address", nodes.address, "--json")[0])

    def test_a_table_for_people(self):
        out, _ = self.call("status", "--address", nodes.address)
        lines = out.splitlines()
        self.assertRegex(lines[0], r"^host +node +cpus +gpus +workers +streams +frames/s +busy +queued +dropped$")
        self.assertEqual(lines[-1], "no framemill runs here")
        for n in self.status()["nodes"]:
            self.assertEqual(sum(n["node"][:8] in line for line in lines), 1)

    def test_a_stop_takes_what_was_read(self):
        site = self.site("detector: motion\nstreams:\n  - {name: a, url: 'testsrc:192x128@25'}\n")
        p = self.start("run", site, "--address", nodes.address)
        first = p.stdout.readline()
        self.assertEqual(json.loads(first)["frame"], 0)
        p.send_signal(signal.SIGINT)
        with p:
            out, err = p.stdout.read(), p.stderr.read()
        self.assertEqual(p.returncode, 130, err)
        self.assertEqual([json.loads(line)["frame"] for line in (first + out).splitlines()], list(range(len(out.splitlines()) + 1)))

    def test_a_stream_that_fails_alone(self):
        site = self.site("detector: motion\nstreams:\n  - {name: a, url: 'testsrc:64x48@25,frames=9'}\n  - {name: b, url: /nowhere.mp4}\n")
        out, err = self.call("run", site, "--address", nodes.address, code=3)
        self.assertEqual(len(out.splitlines()), 9)
        self.assertRegex(err, r"(?m)^framemill: stream 'b': .*/nowhere.mp4.* \(on ")

    def test_refusals(self):
        for text, says in (("detectr: motion\n", r"site.yaml:1:10: unknown key 'detectr'"), ("detector: motion\n", "names no streams"),
                           (SITE.format(frames=9) + "annotate: true\n", "'annotate' belongs to one machine")):
            _, err = self.call("run", self.site(text), "--out", self.out, code=2)
            self.assertRegex(err, rf"^framemill: .*{says}.*\n$")
        site = self.site(SITE.format(frames=9))
        self.assertRegex(self.call("run", site, "--resume", code=2)[1], "give --out")
        self.assertRegex(self.call("run", site, "--workers", "3-2", code=2)[1], "workers is")
        self.assertRegex(self.call("run", site, "--workers", "many", code=2)[1], "LEAST-MOST")
        self.assertRegex(self.call("run", site, "--address", "127.0.0.1:1", code=1)[1], "no Ray cluster answers at '127.0.0.1:1'")
        self.assertRegex(self.call("run", self.folder / "none.yaml", code=1)[1], "none.yaml")
        self.assertRegex(self.call("status", python="/nowhere", code=1)[1], "FRAMEMILL_PYTHON")
        self.assertRegex(self.call("status", PYTHONPATH="", FRAMEMILL_LIBRARY="", code=1)[1], r"framemill: cluster needs the Python package.*pip install")


if __name__ == "__main__":
    harness.main()
