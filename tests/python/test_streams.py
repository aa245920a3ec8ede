# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Streams: results pulled by a loop, by asyncio, stopped in the middle, and by Ctrl-C."""
import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import unittest

import cv2
import harness
from harness import COMMAND, SHAPES, VTEST, np

import framemill
from framemill import VideoStreamManager

SOURCE = "testsrc:192x128@25,frames=30,seed={}"


class Streams(unittest.TestCase):
    def test_what_the_command_says(self):
        inputs = [SOURCE.format(i) for i in (1, 2)]
        settings = ["--detector", "motion", "--tracker", "bytetrack"]
        p = subprocess.run([COMMAND, "run", *inputs, *settings, "--quiet"], capture_output=True, text=True, check=True)
        wanted = {}
        for line in map(json.loads, p.stdout.splitlines()):
            wanted.setdefault(line["stream"], []).append(line)
        got = {}
        with VideoStreamManager(inputs, detector="motion", tracker="bytetrack") as m:
            for r in m:
                got.setdefault(r.stream, []).append(r.to_dict())
            self.assertEqual(m.progress["frames"], 60)
            self.assertEqual(m.report()["frames"], 60)
            self.assertIsNone(m.next())
        self.assertEqual(got, wanted)
        self.assertTrue(any("track_id" in o for line in got["testsrc"] for o in line["objects"]))

    def test_taken_up_elsewhere(self):
        settings = {"detector": "motion", "tracker": "bytetrack"}
        with VideoStreamManager([SOURCE.format(1)], checkpoint_every=10, **settings) as m:
            whole = list(m)
        self.assertEqual([r.frame for r in whole if r.state is not None], [9, 19, 29])
        self.assertIsInstance(whole[9].state, bytes)
        for stream in ({"state": whole[9].state}, {"state": whole[9].state, "start_frame": 10}):
            with VideoStreamManager([{"url": SOURCE.format(1), **stream}], **settings) as m:
                self.assertEqual([r.to_json() for r in m], [r.to_json() for r in whole[10:]])
                self.assertEqual(m.errors, {})
        with VideoStreamManager([{"url": SOURCE.format(1), "start_frame": 27, "state": None}], detector="none") as m:
            self.assertEqual([r.frame for r in m], [27, 28, 29])

    def test_killed_in_mid_run(self):
        settings = {**SHAPES, "tracker": "ocsort", "checkpoint_every": 7}
        with VideoStreamManager([SOURCE.format(1)], **settings) as m:
            wanted = [r.to_json() for r in m]
        self.assertIn("track_id", wanted[-1])
        child = subprocess.Popen([sys.executable, "-c", f"""
import framemill, time
for r in framemill.VideoStreamManager([{SOURCE.format(1)!r}], **{settings!r}):
    print(r.frame, r.state.hex() if r.state else "-", r.to_json(), flush=True)
    if r.frame == 17:
        time.sleep(600)
"""], stdout=subprocess.PIPE, text=True)
        lines, done, state = [], [], None
        for line in child.stdout:
            frame, saved, text = line.rstrip("\n").split(" ", 2)
            lines.append(text)
            if saved != "-":
                done, state = list(lines), bytes.fromhex(saved)
            if frame == "17":
                child.kill()
                break
        child.communicate()
        self.assertEqual(child.returncode, -signal.SIGKILL)
        self.assertEqual(len(done), 14)
        with VideoStreamManager([{"url": SOURCE.format(1), "state": state}], **settings) as m:
            self.assertEqual(done + [r.to_json() for r in m], wanted)

    def test_no_other_state_is_taken(self):
        with VideoStreamManager([SOURCE.format(1)], detector="motion", checkpoint_every=30) as m:
            state = list(m)[29].state
        for given, settings, what in (({"state": state[:-1]}, {}, "damaged"), ({"state": b""}, {}, "no state of a stream"), ({"start_frame": -1}, {}, "start_frame is -1"),
                                      ({"state": state}, {"tracker": "ocsort"}, "'tracker=none' there, 'tracker=ocsort' here"),
                                      ({}, {"checkpoint_every": "often"}, "a whole number of frames"), ({}, {"checkpoint_every": -1}, "checkpoint_every is -1")):
            with self.assertRaisesRegex(framemill.FramemillError, what):
                VideoStreamManager([{"url": SOURCE.format(1), **given}], detector="motion", **settings).start()

    def test_asyncio_is_not_held_up(self):
        async def go():
            ticks, frames, done = 0, {}, asyncio.Event()

            async def tick():
                nonlocal ticks
                while not done.is_set():
                    ticks += 1
                    await asyncio.sleep(0)

            async def take(m):
                async for r in m.process_streams():
                    frames.setdefault(r.stream, []).append(r.frame)

            beside = asyncio.create_task(tick())
            a = VideoStreamManager(2, buffer_size=10, config=SHAPES | {"detector": "shapes:size=96x64:delay_us=5000"})
            for i in range(2):
                a.add_stream(SOURCE.format(i), name=f"a{i}")
            b = VideoStreamManager([{"url": SOURCE.format(3), "name": "b"}], **SHAPES)
            await asyncio.gather(take(a), take(b))
            done.set()
            await beside
            return ticks, frames

        ticks, frames = asyncio.run(go())
        self.assertGreater(ticks, 50)
        self.assertEqual(frames, {name: list(range(30)) for name in ("a0", "a1", "b")})

    def test_pictures_are_views(self):
        with VideoStreamManager([SOURCE.format(1)], pictures=True, **SHAPES) as m:
            r = next(iter(m))
        planes = r.picture.planes
        self.assertEqual([p.shape for p in planes], [(128, 192), (64, 96), (64, 96)])
        self.assertEqual(planes[0].ctypes.data, r.picture.planes[0].ctypes.data)
        self.assertFalse(planes[0].flags.owndata)
        self.assertEqual(r.picture.numpy().shape, (128, 192, 3))

    def test_pictures_are_what_opencv_reads(self):
        if not VTEST.exists():
            self.skipTest(f"{VTEST} is missing")
        ok, wanted = cv2.VideoCapture(str(VTEST)).read()
        self.assertTrue(ok)
        with VideoStreamManager([str(VTEST)], detector="none", frames=1, pictures=True) as m:
            got = m.next().picture.numpy()
        difference = np.abs(got.astype(int) - wanted)
        self.assertLessEqual(difference.max(), 4)
        self.assertLess(difference.mean(), 1.5)  # OpenCV rounds down where we round

    def test_leaving_early_stops(self):
        async def first():
            m = VideoStreamManager(["testsrc:64x48@25"], **SHAPES)
            async for r in m.process_streams():
                if r.frame == 3:
                    break
            m.close()

        asyncio.run(first())
        m = VideoStreamManager(["testsrc:64x48@25"], **SHAPES)
        for r in m:
            if r.frame == 3:
                break
        m.stop(drain=False)
        for _ in m:
            pass
        m.close()
        m.close()
        with self.assertRaises(framemill.Closed):
            m.next()
        with self.assertRaises(framemill.Closed):
            m.start()

    def test_cancel_of_a_task(self):
        async def go():
            m = VideoStreamManager(["testsrc:64x48@25"], **SHAPES)
            seen = asyncio.Event()

            async def take():
                async for _ in m.process_streams():
                    seen.set()

            task = asyncio.create_task(take())
            await seen.wait()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            m.close()

        asyncio.run(go())

    def test_a_stop_from_another_thread(self):
        m = VideoStreamManager(["testsrc:64x48@25"], **SHAPES)
        frames = []
        for r in m:
            frames.append(r.frame)
            if r.frame == 5:
                threading.Thread(target=m.stop).start()
        self.assertEqual(frames, list(range(len(frames))))
        m.close()

    def test_a_time_limit(self):
        m = VideoStreamManager(["testsrc:64x48@25"], **(SHAPES | {"detector": "shapes:size=96x64:delay_us=500000"}))
        with self.assertRaises(TimeoutError):
            m.next(timeout_ms=1)
        self.assertEqual(m.next(timeout_ms=60000).frame, 0)
        m.close()

    def test_one_stream_fails_alone(self):
        bad = harness.HOME / "no-video.mp4"
        bad.write_bytes(b"x" * 100)
        with VideoStreamManager([str(bad), SOURCE.format(1)], **SHAPES) as m:
            self.assertEqual(sum(1 for _ in m), 30)
            self.assertEqual(list(m.errors), ["no-video"])

    def test_refusals(self):
        for bad in (0, "text.mp4", [{"name": "x"}], [{"url": "a", "speed": "b"}]):
            with self.assertRaises(framemill.InvalidArgument):
                VideoStreamManager(bad, **SHAPES)
        m = VideoStreamManager(1, **SHAPES)
        m.add_stream(SOURCE.format(1))
        with self.assertRaises(framemill.InvalidArgument):
            m.add_stream(SOURCE.format(2))
        m.next()
        with self.assertRaisesRegex(framemill.FramemillError, "max_streams"):
            m.add_stream(SOURCE.format(2))
        with self.assertRaises(framemill.NotFound):
            m.remove_stream("nobody")
        m.close()
        with self.assertRaises(framemill.InvalidArgument):
            VideoStreamManager([], **SHAPES).start()
        with self.assertRaises(framemill.FramemillError):
            VideoStreamManager(["concat:a|b"], **SHAPES).start() or VideoStreamManager(["/nowhere.mp4"], trackker="x")

    def test_streams_come_and_go(self):
        with VideoStreamManager([], stays=True, **SHAPES) as m:
            m.start()
            with self.assertRaises(TimeoutError):
                m.next(timeout_ms=1)
            m.add_stream(SOURCE.format(1), name="first")
            self.assertEqual([m.next().frame for _ in range(30)], list(range(30)))
            m.add_stream("testsrc:192x128@25", name="endless")
            self.assertEqual([m.next().stream for _ in range(5)], ["endless"] * 5)
            m.pause_stream("endless")
            m.pause_stream("endless", False)
            m.remove_stream("endless")
            m.stop()
            rest = [r.frame for r in m]
            self.assertEqual(rest, list(range(5, 5 + len(rest))))
            streams = m.streams
            self.assertEqual({n: s["ended"] for n, s in streams.items()}, {"first": True, "endless": True})
            self.assertEqual([streams["first"][k] for k in ("frames", "expected", "queued", "error")], [30, 30, 0, None])

    def test_ctrl_c(self):
        for how in ("for r in m: seen()", "async def go():\n async for r in m.process_streams(): seen()\nasyncio.run(go())"):
            code = ("import asyncio, sys, framemill\n"
                    f"m = framemill.VideoStreamManager(['testsrc:64x48@25'], realtime=True, detector='motion')\n"
                    "def seen():\n print(1, flush=True)\n" + how)
            p = subprocess.Popen([harness.sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
            self.assertEqual(p.stdout.readline(), b"1\n")
            os.kill(p.pid, signal.SIGINT)
            _, err = p.communicate(timeout=60)
            self.assertIn(b"KeyboardInterrupt", err)
            self.assertNotEqual(p.returncode, 0)


if __name__ == "__main__":
    harness.main()
