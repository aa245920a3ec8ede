# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Streams and pictures over a Ray cluster of several nodes: whatever is killed, what comes is what one process says, to the byte."""
import asyncio
import doctest
import logging
import os
import signal
import subprocess
import sys
import threading
import unittest

import cv2
import harness
from harness import HOME, SHAPES, np, scene
from ray_cluster import SOURCE, Nodes, kill, ray, slow, wait_for

import framemill
import framemill.ray
from framemill.ray import ImageProcessor, VideoStreamManager, pool, streams

TRACKED = {"tracker": "ocsort", "checkpoint_every": 7}
nodes = None


def setUpModule():
    global nodes
    if ray is None:
        raise unittest.SkipTest("the package ray is missing")
    logging.getLogger("framemill.ray").setLevel(logging.CRITICAL)
    pool.WAIT_MS = 20  # small answers, so that there is something left to be lost
    nodes = Nodes(3)


def tearDownModule():
    if nodes:
        nodes.close()


def alone(inputs, **settings):
    """What one process says, by stream."""
    out = {}
    with framemill.VideoStreamManager(inputs, **settings) as m:
        for r in m:
            out.setdefault(r.stream, []).append(r.to_json())
    return out


def together(manager, when=lambda n, m: None):
    """What the cluster says; `when` is called with the number of records before each."""
    out, n = {}, 0
    for r in manager:
        when(n, manager)
        out.setdefault(r.stream, []).append(r.to_json())
        n += 1
    return out


class Killed(unittest.TestCase):
    inputs = [SOURCE.format(frames=40 + 7 * i, seed=i) for i in range(5)]

    def check(self, when, inputs=None, wanted=None, **options):
        settings = slow(4000) | TRACKED | options
        inputs = inputs or self.inputs
        own = {k: settings.pop(k) for k in ("workers", "streams_per_worker", "answer_within_s") if k in settings}
        with VideoStreamManager(inputs, **own, **settings) as m:
            got = together(m, when)
            self.assertEqual(m.errors, {})
            report = m.report()
        self.assertEqual(got, wanted or alone(inputs, **settings))
        self.assertEqual({n: s["frames"] for n, s in report["streams"].items()}, {n: len(lines) for n, lines in got.items()})
        return report

    def test_nobody(self):
        report = self.check(lambda n, m: None)
        self.assertEqual(report["lost"], 0)
        self.assertEqual(len({w["node"] for w in report["workers"]}), 2, "each on a node of its own")

    def test_an_actor(self):
        killed = []

        def when(n, m):
            busy = [w for w in m.workers if w["pid"] and w["streams"] and w["pid"] not in killed]
            if n in (50, 120) and busy:
                killed.append(busy[0]["pid"])
                kill(killed[-1])

        report = self.check(when)
        self.assertEqual((report["lost"], len(killed)), (2, 2))
        self.assertGreaterEqual(sum(s.get("losses", 0) for s in report["streams"].values()), 2)

    def test_all_actors(self):
        def when(n, m):
            if n == 60:
                for w in m.workers:
                    kill(w["pid"])

        self.assertEqual(self.check(when)["lost"], 2)

    def test_a_raylet(self):
        def when(n, m):
            if n == 60:
                w = next(w for w in m.workers if w["streams"])
                nodes.kill_raylet_of(w["node"])
                wait_for(lambda: not os.path.exists(f"/proc/{w['pid']}"))

        report = self.check(when)
        self.assertEqual(report["lost"], 1)
        nodes.nodes.append(nodes.cluster.add_node(num_cpus=1))

    def test_one_that_does_not_answer(self):
        stopped = []

        def when(n, m):
            if n == 60:
                stopped.append(next(w["pid"] for w in m.workers if w["streams"]))
                kill(stopped[0], signal.SIGSTOP)

        report = self.check(when, answer_within_s=3)
        self.assertEqual(report["lost"], 1)

    def test_videos_go_on_from_a_keyframe(self):
        path = HOME / "moving.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (192, 128))
        for i in range(60):
            writer.write(scene(i))
        writer.release()
        inputs = [{"url": str(path), "name": "a"}, {"url": str(path), "name": "b", "start_frame": 11}]
        report = self.check(lambda n, m: kill(next(w["pid"] for w in m.workers if w["streams"])) if n == 50 else None, inputs)
        self.assertEqual(report["lost"], 1)
        self.assertEqual(report["streams"]["b"]["frames"], 49)

    def test_motion(self):
        settings = {"detector": "motion", "tracker": "bytetrack", "checkpoint_every": 10}
        inputs = [SOURCE.format(frames=60, seed=i) for i in range(2)]
        with VideoStreamManager(inputs, workers=1, **settings) as m:
            got = together(m, lambda n, m: kill(m.workers[0]["pid"]) if n == 30 else None)
            self.assertEqual(m.progress["lost"], 1)
        self.assertEqual(got, alone(inputs, **settings))


class Spread(unittest.TestCase):
    def test_more_streams_than_places(self):
        inputs = [SOURCE.format(frames=10 + i, seed=i) for i in range(7)]
        most = 0
        with VideoStreamManager(inputs, workers=2, streams_per_worker=1, **SHAPES) as m:
            for r in m:
                most = max(most, *(w["streams"] for w in m.workers))
            self.assertEqual({n: s["frames"] for n, s in m.report()["streams"].items()}, {f"testsrc{i}": n for i, n in self.numbered(7)})
        self.assertEqual(most, 1)

    def numbered(self, n):
        return [("" if i == 0 else f"-{i + 1}", 10 + i) for i in range(n)]

    def test_who_has_nothing_to_do_gets_a_stream(self):
        inputs = [SOURCE.format(frames=n, seed=n) for n in (10, 11, 400, 401, 402)]
        settings = slow(5000) | TRACKED
        with VideoStreamManager(inputs, workers=2, **settings) as m:
            got = together(m)
            self.assertGreater(m.progress["moved"], 0)
            self.assertEqual(m.progress["expected"], 1224)
        self.assertEqual(got, alone(inputs, **settings))

    def test_workers_come_and_go(self):
        inputs = [SOURCE.format(frames=60, seed=i) for i in range(4)]
        most = []
        old = streams.GROW_S, streams.IDLE_S
        streams.GROW_S, streams.IDLE_S = 0.5, 1.0
        try:
            with VideoStreamManager([*inputs, SOURCE.format(frames=500, seed=9)], workers=(1, 3), streams_per_worker=1, **slow(20000)) as m:
                for r in m:
                    most.append(len(m.workers))
        finally:
            streams.GROW_S, streams.IDLE_S = old
        self.assertEqual((most[0], max(most), most[-1]), (1, 3, 1))

    def test_what_is_expected(self):
        inputs = [{"url": SOURCE.format(frames=300, seed=1), "start_frame": 20}, SOURCE.format(frames=290, seed=2)]
        expected = set()
        with VideoStreamManager(inputs, workers=1, **slow(2000) | TRACKED) as m:
            together(m, lambda n, m: (expected.add(m.progress["expected"]), kill(m.workers[0]["pid"]) if n == 200 else None))
            self.assertEqual(m.progress["lost"], 1)
        self.assertEqual(expected - {0}, {570})

    def test_limits_are_of_the_stream(self):
        inputs = [{"url": SOURCE.format(frames=100, seed=1), "start_frame": 20}]
        settings = slow(2000) | {"frames": 30, "checkpoint_every": 4}
        with VideoStreamManager(inputs, workers=1, **settings) as m:
            got = together(m, lambda n, m: kill(m.workers[0]["pid"]) if n == 17 else None)
        settings.pop("checkpoint_every")
        self.assertEqual(got, alone(inputs, **settings))

    def test_records(self):
        with VideoStreamManager([SOURCE.format(frames=3, seed=1)], workers=1, **SHAPES) as m:
            got = list(m)
        with framemill.VideoStreamManager([SOURCE.format(frames=3, seed=1)], **SHAPES) as m:
            for a, b in zip(got, m, strict=True):
                np.testing.assert_array_equal(a.boxes, b.boxes)
                np.testing.assert_array_equal(a.detections, b.detections)
                self.assertEqual((a.stream, a.frame, a.pts_ms, len(a), a.labels, a.to_dict(), a.error),
                                 (b.stream, b.frame, b.pts_ms, len(b), b.labels, b.to_dict(), b.error))


class Refused(unittest.TestCase):
    def test_settings(self):
        for given, what in (({"workers": 0}, "workers is 0"), ({"workers": (3, 2)}, "LEAST|least"), ({"streams_per_worker": 0}, "streams_per_worker"),
                            ({"annotate": True, "out": "x"}, "annotate"), ({"pictures": True}, "pictures"), ({"trackker": "x"}, "tracker"),
                            ({"checkpoint_every": 0}, "checkpoint_every")):
            with self.assertRaisesRegex(framemill.InvalidArgument, what):
                VideoStreamManager([SOURCE.format(frames=3, seed=1)], **given)

    def test_a_model_that_a_machine_has_not_got(self):
        m = VideoStreamManager([SOURCE.format(frames=3, seed=1)], detector="yolox-nanno", workers=1)
        with self.assertRaisesRegex(framemill.NotFound, r"node [0-9a-f]{8}: .*yolox-nanno.*did you mean"):
            m.next()
        m.close()

    def test_a_model_that_one_machine_has_not_got(self):
        harness.need_model("yolox-nano")
        bare = nodes.cluster.add_node(num_cpus=1, resources={"pair": 1}, env_vars={"FRAMEMILL_MODELS": str(HOME / "none")})
        whole = nodes.cluster.add_node(num_cpus=1, resources={"pair": 1})
        try:
            inputs = [SOURCE.format(frames=3 + i, seed=i) for i in range(3)]
            with VideoStreamManager(inputs, workers=2, detector="yolox-nano", resources={"pair": 1}) as m:
                self.assertEqual(sum(1 for _ in m), 12)
                report = m.report()
            self.assertEqual({w["node"] for w in report["workers"]}, {whole.node_id})
            self.assertEqual(len(report["refused"]), 1)
            self.assertRegex(report["refused"][0], rf"node {bare.node_id[:8]}: .*yolox-nano.*models fetch")
        finally:
            for n in (bare, whole):
                nodes.cluster.remove_node(n)

    def test_a_stream_that_cannot_be_read(self):
        inputs = ["/nowhere.mp4", SOURCE.format(frames=20, seed=1)]
        with VideoStreamManager(inputs, workers=1, **SHAPES) as m:
            self.assertEqual(sum(1 for _ in m), 20)
            self.assertRegex(m.errors["nowhere"], r"/nowhere.mp4.*\(on ")

    def test_closed(self):
        m = VideoStreamManager([SOURCE.format(frames=20, seed=1)], workers=1, **SHAPES)
        m.next()
        with self.assertRaises(framemill.InvalidArgument):
            m.add_stream("testsrc:64x48@25")
        m.close()
        m.close()
        for call in (m.next, m.start, m.stop, lambda: m.progress):
            with self.assertRaises(framemill.Closed):
                call()
        self.assertTrue(ray.is_initialized(), "the cluster was joined before")

    def test_no_cluster(self):
        code = ("import framemill, framemill.ray\n"
                "for address in ('127.0.0.1:1', 'nonsense'):\n"
                "    try:\n        framemill.ray.VideoStreamManager(['testsrc:64x48@25'], detector='motion', address=address).start()\n"
                "    except framemill.FramemillError as e:\n        print(e)\n")
        p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        lines = p.stdout.splitlines()
        self.assertEqual(len(lines), 2, p)
        self.assertIn("no Ray cluster answers at '127.0.0.1:1': start one with `ray start --head`", lines[0])
        self.assertIn("'nonsense' is none of a cluster", lines[1])

    def test_a_time_limit(self):
        with VideoStreamManager(["testsrc:192x128@25"], workers=1, **slow(500000)) as m:
            with self.assertRaises(TimeoutError):
                m.next(timeout_ms=1)


class Stopped(unittest.TestCase):
    endless = "testsrc:192x128@25"

    def test_drained(self):
        with VideoStreamManager([self.endless] * 3, workers=2, streams_per_worker=1, **slow(2000)) as m:
            got = {}
            for r in m:
                got.setdefault(r.stream, []).append(r.frame)
                if sum(map(len, got.values())) == 40:
                    threading.Thread(target=m.stop).start()
            self.assertEqual(m.progress["active"], 0)
        for frames in got.values():
            self.assertEqual(frames, list(range(len(frames))))

    def test_asyncio(self):
        async def go():
            ticks, n = 0, 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.001)

            beside = asyncio.create_task(tick())
            m = VideoStreamManager([SOURCE.format(frames=30, seed=1)] * 2, workers=1, **slow(2000))
            async for _ in m.process_streams():
                n += 1
            m.close()
            beside.cancel()
            m = VideoStreamManager([self.endless], workers=1, **SHAPES)
            async for _ in m.process_streams():
                break
            m.close()
            return ticks, n

        ticks, n = asyncio.run(go())
        self.assertEqual(n, 60)
        self.assertGreater(ticks, 50)

    def test_ctrl_c(self):
        for how in ("for r in m: seen()", "async def go():\n async for r in m.process_streams(): seen()\nasyncio.run(go())"):
            code = ("import asyncio, sys, framemill.ray\n"
                    f"m = framemill.ray.VideoStreamManager([{self.endless!r}], workers=1, address={nodes.address!r}, detector='motion')\n"
                    "def seen():\n print(1, flush=True)\n" + how)
            p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
            self.assertEqual(p.stdout.readline(), b"1\n")
            os.kill(p.pid, signal.SIGINT)
            _, err = p.communicate(timeout=120)
            self.assertIn(b"KeyboardInterrupt", err)
            self.assertNotEqual(p.returncode, 0)
        wait_for(lambda: ray.available_resources().get("CPU", 0) >= len(nodes.nodes))


class Docs(unittest.TestCase):
    def test_the_page(self):
        failed, n = doctest.testfile(str(harness.ROOT / "docs" / "ray.md"), module_relative=False, globs={"FOLDER": str(HOME / "page")})
        self.assertEqual(failed, 0)
        self.assertGreater(n, 5)


class Pictures(unittest.TestCase):
    def test_what_one_process_says(self):
        images = [scene(i) for i in range(10)]
        with framemill.ImageProcessor(**SHAPES) as p:
            wanted = [d["objects"] for d in p.process_batch(images)]
        with ImageProcessor(actors=2, **SHAPES) as p:
            self.assertEqual([d["objects"] for d in p.process_batch(images)], wanted)
            self.assertEqual(p.process(images[3])["objects"], wanted[3])
            self.assertEqual(p.process_batch([]), [])
            later = [p.submit(images[i:i + 2]) for i in range(0, 10, 2)]
            self.assertEqual([d["objects"] for part in later for d in p.result(part)], wanted)
            for bad in ("text", [images[0].astype(float)], [None], 3):
                with self.assertRaises(framemill.InvalidArgument):
                    p.process_batch(bad)
        with self.assertRaises(framemill.Closed):
            p.process_batch(images)

    def test_an_actor_is_killed(self):
        images = [scene(i) for i in range(6)]
        with framemill.ImageProcessor(**SHAPES) as p:
            wanted = [d["objects"] for d in p.process_batch(images)]
        with ImageProcessor(actors=1, **slow(100000)) as p:
            pid = ray.get(p._actors[0].pid.remote())
            part = p.submit(images)
            kill(pid)
            self.assertEqual([d["objects"] for d in p.result(part)], wanted)

    def test_parts_of_a_core(self):
        with ImageProcessor(actors=4, num_cpus=0.25, **SHAPES) as p:
            self.assertEqual(len(p.process_batch([scene(i) for i in range(8)])), 8)

    def test_a_model_that_is_not_there(self):
        with ImageProcessor(detector="yolox-nanno") as p, self.assertRaisesRegex(framemill.NotFound, "did you mean"):
            p.process_batch([scene()])


if __name__ == "__main__":
    harness.main()
