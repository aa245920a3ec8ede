# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What framemill.ray decides and remembers, without a cluster: a stream's way over workers that are lost, where streams go, the journal."""
import dataclasses
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import harness

import framemill
from framemill.ray import placing
from framemill.ray.flow import BARREN, DONE, WAITING, Flow
from framemill.ray.journal import FOLDER, Journal
from framemill.ray.placing import Place
from framemill.ray.records import Record

EVERY = 5


def record(frame, stream="s", state=None, pts=None):
    return Record(stream, frame, float(frame * 40 if pts is None else pts), b'{"stream":"%s","frame":%d,"objects":[]}' % (stream.encode(), frame),
                  b"", state, None)


class Source:
    """A stream as a worker gives it: from the start, or behind a state."""

    def __init__(self, given, frames):
        self.at = int(given.get("state", b"0")) if given.get("state") else int(given.get("start_frame", 0))
        self.frames = frames

    def next(self):
        n, self.at = self.at, self.at + 1
        return record(n, state=b"%d" % self.at if self.at % EVERY == 0 else None) if n < self.frames else None


class Flows(unittest.TestCase):
    def test_nothing_is_lost_or_doubled_whenever_workers_are_lost(self):
        rng = random.Random(1)
        for trial in range(500):
            first, limit = rng.choice((0, 0, 7)), rng.choice((0, 0, 13, 60))
            flow = Flow("s", "u", {"url": "a.mp4", "start_frame": first}, limit)
            got = []
            while flow.phase != DONE:
                source = Source(flow.source(), 40)
                for _ in range(rng.randint(1, 20)):
                    r = source.next()
                    kept = flow.accept(r) if r is not None else None
                    got += [kept.frame] if kept is not None else []
                    if r is None or flow.phase == DONE:
                        flow.phase = DONE
                        break
                else:
                    flow.barren = 0
                    flow.lost("killed")
            end = min(40, first + limit) if limit else 40
            self.assertEqual(got, list(range(first, end)), trial)
            self.assertEqual(flow.frames, end - first)

    def test_a_stream_that_kills_its_workers_fails(self):
        flow = Flow("s", "u", {"url": "a.mp4"}, 0)
        for i in range(BARREN):
            flow.source()
            flow.lost("killed")
            self.assertEqual(flow.phase, WAITING)
        flow.source()
        flow.accept(record(0))
        flow.lost("killed")
        self.assertEqual(flow.phase, WAITING, "there was a frame between")
        for i in range(BARREN):
            flow.lost("killed")
        self.assertEqual(flow.phase, DONE)
        self.assertIn("one after the other", flow.error)

    def test_a_camera_is_counted_on(self):
        flow = Flow("s", "u", {"url": "rtsp://a/b"}, 0)
        flow.source()
        for n in range(58):
            flow.accept(record(n, state=b"50" if n == 49 else None))
        flow.lost("killed")
        self.assertEqual(flow.source()["state"], b"50")
        # It comes back ten seconds later; its own count goes on behind the checkpoint.
        got = [flow.accept(record(n, pts=57 * 40 + 10_000 + 40 * (n - 50))) for n in (50, 51, 52)]
        self.assertEqual([r.frame for r in got], [58, 59, 60])
        self.assertEqual([r.to_dict()["frame"] for r in got], [58, 59, 60])
        self.assertAlmostEqual(flow.gap_s, 10.0)
        self.assertEqual(flow.gap_frames, 249)
        self.assertEqual(flow.report()["gap_frames"], 249)
        self.assertEqual(flow.report()["losses"], 1)


class Placing(unittest.TestCase):
    def test_streams_go_where_the_least_is_to_do(self):
        for n in (1, 2, 5):
            counts = [0] * n
            for _ in range(4 * n):
                at = placing.least_loaded([Place(c, 100, 0.0, c, False) for c in counts])
                counts[at] += 1
            self.assertEqual(counts, [4] * n)
        self.assertEqual(placing.least_loaded([Place(2, 8, 0.9, 0, False), Place(6, 8, 0.2, 0, False)]), 1)
        self.assertEqual(placing.least_loaded([Place(2, 2, 0.1, 0, False), Place(1, 2, 0.9, 0, False)]), 1)
        self.assertIsNone(placing.least_loaded([Place(2, 2, 0.1, 0, False)]))
        self.assertIsNone(placing.least_loaded([]))

    def test_what_came_since_is_counted_at_the_mean(self):
        # Four measured streams take 0.8 together, so two that came since take 0.4 of the second.
        places = [Place(4, 100, 0.8, 0, False), Place(2, 100, 0.0, 2, False)]
        self.assertAlmostEqual(placing.mean_cost(places), 0.2)
        self.assertAlmostEqual(placing.load_of(places[1], 0.2), 0.4)

    def test_a_move_makes_the_worst_better(self):
        rng = random.Random(2)
        moved = 0
        for _ in range(2000):
            costs = [{f"{w}-{i}": rng.uniform(0.02, 0.5) for i in range(rng.randint(0, 6))} for w in range(rng.randint(1, 5))]
            places = [Place(len(c), 8, min(1.0, sum(c.values())), 0, sum(c.values()) > 1) for c in costs]
            found = placing.hot_one(places, costs)
            if found is None:
                continue
            moved += 1
            name, a, b = found
            self.assertTrue(places[a].behind and not places[b].behind)
            self.assertLess(places[b].busy + costs[a][name], places[a].busy + 1e-9)
        self.assertGreater(moved, 100)

    def test_who_has_nothing_to_do(self):
        p = [Place(1, 8, 1.0, 0, False), Place(3, 8, 1.0, 0, False), Place(0, 8, 0.0, 0, False)]
        self.assertEqual(placing.idle_one(p), (1, 2))
        self.assertIsNone(placing.idle_one(p[:2]))
        self.assertIsNone(placing.idle_one([p[0], p[2]]))

    def test_how_many(self):
        self.assertEqual(placing.wanted(2, 1, 4, waiting=3, behind=0, idle=0), 3)
        self.assertEqual(placing.wanted(4, 1, 4, waiting=3, behind=1, idle=0), 4)
        self.assertEqual(placing.wanted(4, 1, 4, waiting=0, behind=0, idle=2), 2)
        self.assertEqual(placing.wanted(4, 3, 4, waiting=0, behind=0, idle=4), 3)


class Journals(unittest.TestCase):
    def run_once(self, out, resume, stop_at, rng, names):
        """Streams of 40 frames in random order, as far as stop_at records; nothing is flushed after that."""
        journal = Journal(out, names, resume)
        flows = {n: Flow(n, n, {"url": n}, 0) for n in names}
        for name, (frame, state) in journal.taken.items():
            flows[name].begin_at(frame, state)
        left = {n: Source(flows[n].source(), 40) for n in names if n not in journal.ended}
        for _ in range(stop_at):
            if not left:
                journal.finish()
                return True
            name = rng.choice(sorted(left))
            r = left[name].next()
            if r is None:
                journal.end(name)
                del left[name]
                continue
            kept = flows[name].accept(dataclasses.replace(r, stream=name, line=b'{"frame":%d}' % r.frame))
            journal.write(kept)
            if rng.random() < 0.1:
                journal.commit()
        return False

    def test_whenever_it_is_killed_the_lines_are_whole(self):
        rng = random.Random(3)
        names = ["a", "b", "c"]
        for _ in range(40):
            with tempfile.TemporaryDirectory() as folder:
                out = pathlib.Path(folder, "out")
                resume, runs = False, 0
                while not self.run_once(out, resume, rng.randint(1, 60), rng, names):
                    resume, runs = True, runs + 1
                    self.assertLess(runs, 2000)
                wanted = b"".join(b'{"frame":%d}\n' % n for n in range(40))
                for n in names:
                    self.assertEqual((out / f"{n}.jsonl").read_bytes(), wanted)
                self.assertEqual(sorted(p.name for p in out.iterdir()), [f"{n}.jsonl" for n in names])

    def test_what_is_there_is_not_written_over(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            journal = Journal(out, ["a"], False)
            for n in range(10):
                journal.write(record(n, "a", b"x" if n == 4 else None))
            journal.close()
            with self.assertRaisesRegex(framemill.FramemillError, "--resume"):
                Journal(out, ["a"], False)
            self.assertEqual(Journal(out, ["a"], True).taken, {"a": (4, b"x")})
            (out / "a.jsonl").write_bytes(b"short")
            with self.assertRaisesRegex(framemill.FramemillError, "was changed since"):
                Journal(out, ["a"], True)
            (out / FOLDER / "a").write_bytes(b"{")
            with self.assertRaisesRegex(framemill.FramemillError, "cannot be read"):
                Journal(out, ["a"], True)
            blocked = pathlib.Path(folder, "file")
            blocked.touch()
            with self.assertRaisesRegex(framemill.FramemillError, "cannot be written"):
                Journal(blocked, ["a"], False)


class Settings(unittest.TestCase):
    def test_they_are_the_same_in_another_process(self):
        given = {"enhance": {"color": "auto"}, "color": "rgb", "detector_weights": "yolox-nano", "trust": True, "frames": 7}
        first = framemill.config.Settings(given, {})
        second = framemill.config.Settings(first.again(), {})
        self.assertEqual((first.values, first.color, first.trust), (second.values, second.color, second.trust))
        self.assertEqual((second.values["color"], second.color), ("auto", "rgb"))


class NotInstalled(unittest.TestCase):
    def test_the_error_says_the_command(self):
        code = ("import sys\nsys.modules['ray'] = None\nimport framemill, framemill.ray\n"
                "for make in (framemill.ray.VideoStreamManager, framemill.ray.ImageProcessor):\n"
                "    try:\n        make(['testsrc:64x48@25'])\n    except framemill.MissingPackage as e:\n        print(e)\n")
        p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        self.assertEqual(p.stdout.splitlines(), ["framemill.ray needs the package ray: pip install 'ray[data]==2.60.0'"] * 2)


if __name__ == "__main__":
    harness.main()
