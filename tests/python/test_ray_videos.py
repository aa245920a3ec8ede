# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Videos by the thousand: names and inputs, the folder of a job that is killed at every step, and jobs over a cluster of this machine."""
import collections
import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

import cv2
import harness
from harness import COMMAND, HOME, SHAPES, np, scene

import framemill
import framemill.ray
from framemill.ray import jobs, output
from framemill.ray import inputs as inputs_of
from framemill.ray import rows as rows_of

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import ray

SOURCE = "testsrc:192x128@25,frames=30,seed={}"
SLOW = SHAPES | {"detector": "shapes:size=96x64:delay_us=20000"}
FOLLOWED = {"detector": "motion", "tracker": "bytetrack"}


def video(path, frames=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (192, 128))
    for i in range(frames):
        writer.write(scene(i))
    writer.release()
    return str(path)


def folder(name):
    path = HOME / name
    path.mkdir()
    return path


def tables(out):
    """All that lies in a job's datasets, by file."""
    return {str(f.relative_to(out)): pq.read_table(f, partitioning=None) for f in sorted(out.glob("*/stream=*/*"))}


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def results(out):
    return {line["path"]: line for line in manifest(out) if "error" in line}


def single(value):
    return None if value is None else float(np.float32(value))


def wanted_rows(line):
    """Of one line of `framemill run`: the row of its frame, and those of its objects."""
    where = {k: line[k] for k in ("frame", "pts_ms", "width", "height")}
    frame = {**where, "file": line.get("file"), "objects": len(line["objects"]), "error": line.get("error"), "extra": None}
    objects = [{**where, "label": o["label"], "class_id": o["class_id"], "score": single(o["score"]),
                **{k: single(v) for k, v in zip("xywh", o["box"])}, "track_id": o.get("track_id"), "extra": None} for o in line["objects"]]
    return frame, objects


def workers(title):
    """Processes of this test's cluster with this title."""
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if title in (place / "cmdline").read_bytes() and f"HOME={HOME}\0".encode() in (place / "environ").read_bytes():
                yield int(place.name)
        except OSError:
            pass


class Inputs(unittest.TestCase):
    def test_what_stands_for_what(self):
        root = folder("tree")
        for name in ("b/2.MP4", "a/x.mkv", "a/notes.txt", "a/deep/y.webm", "c/p.png"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")
        found = [str(root / n) for n in ("a/x.mkv", "a/deep/y.webm", "b/2.MP4")]
        self.assertEqual(inputs_of.find(str(root)), found)
        self.assertEqual(inputs_of.find(root), found)
        self.assertEqual(inputs_of.find(f"{root}/**/*.[mw]*[vm]"), sorted(found[:2]))
        self.assertEqual(inputs_of.find([root / "c", found[0], found[0], SOURCE.format(1), "https://host/v.mp4"]),
                         [str(root / "c"), found[0], SOURCE.format(1), "https://host/v.mp4"])
        self.assertEqual(inputs_of.find(["testsrc:8x8@25"], bounded=True), ["testsrc:8x8@25"])
        here = os.getcwd()
        os.chdir(root)
        self.assertEqual(inputs_of.find(["a/x.mkv"]), found[:1])
        os.chdir(here)

    def test_refusals(self):
        empty = folder("no-videos")
        for given, kind, what in (([], framemill.InvalidArgument, "the list of paths is empty"),
                                  (str(empty), framemill.NotFound, "no video lies in the folder"),
                                  (f"{empty}/*.mp4", framemill.NotFound, "no file matches"),
                                  ("/nowhere.mp4", framemill.NotFound, "'/nowhere.mp4' does not exist"),
                                  ([SOURCE.format(1), "/nowhere"], framemill.NotFound, "'/nowhere' does not exist"),
                                  (["rtsp://host/a"], framemill.InvalidArgument, "has no end"),
                                  (["testsrc:64x48@25"], framemill.InvalidArgument, "',frames=N'"),
                                  (["testsrc:64x48@25,frames=0"], framemill.InvalidArgument, "',frames=N'")):
            with self.assertRaisesRegex(kind, what) as e:
                inputs_of.find(given)
            self.assertNotIn("\n", str(e.exception))

    def test_names_are_unique_and_kept(self):
        paths = ["/a/v.mp4", "/b/v.mp4", "/c/v-2.mp4", "/d/v.mp4", "/e/0007.avi", "/f/a b=c%/d?.mp4", "/g/.mp4", "testsrc:8x8@1,frames=1",
                 "testsrc:8x8@1,frames=2", "https://user:secret@host/x.mp4?token=1", "/h/größe.mp4", "/i/" + "l" * 200 + ".mp4"]
        called = inputs_of.names(paths, {})
        self.assertEqual(list(called.values())[:11], ["v", "v-2", "v-2-2", "v-3", "video-0007", "d_", "mp4", "testsrc", "testsrc-2", "host_x", "größe"])
        self.assertEqual(len(called["/i/" + "l" * 200 + ".mp4"]), 100)
        # Whatever was done when a job ended, the rest is called as it would have been.
        for done in range(1 << len(paths)):
            known = {p: called[p] for i, p in enumerate(paths) if done >> i & 1}
            self.assertEqual(inputs_of.names(paths, known), called)
        self.assertEqual(inputs_of.names(["/z/v.mp4"], called), {"/z/v.mp4": "v-4"})

    def test_changes_are_seen(self):
        root = folder("changes")
        (root / "a.png").write_bytes(b"1")
        before = inputs_of.signature(str(root))
        self.assertEqual(before[0], 1)
        (root / "b.png").write_bytes(b"22")
        self.assertEqual(inputs_of.signature(str(root))[0], 3)
        os.utime(root / "a.png", ns=(5, before[1] + 10**12))
        self.assertEqual(inputs_of.signature(str(root)), (3, before[1] + 10**12))
        self.assertEqual(inputs_of.signature("testsrc:8x8@1"), (None, None))

    def test_what_has_no_column(self):
        line = {"stream": "s", "frame": 3, "pts_ms": 1.5, "width": 4, "height": 5, "carried": True, "objects": [
            {"label": "dog", "class_id": 1, "score": 0.5, "box": [1, 2, 3, 4], "mask": {"size": [5, 4], "counts": "x"}}]}
        self.assertEqual(json.loads(rows_of.frame_row(line)["extra"]), {"carried": True})
        self.assertEqual([json.loads(r["extra"]) for r in rows_of.object_rows(line)], [{"mask": {"size": [5, 4], "counts": "x"}}])
        self.assertEqual(list(rows_of.joined_rows({**line, "objects": []})), [
            {"frame": 3, "pts_ms": 1.5, "width": 4, "height": 5, "file": None, "objects": 0, "error": None, "frame_extra": '{"carried": true}'}])


def killed_after(steps, work):
    """Runs work in a process that is killed at its n-th step that changes files. True: it was."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def step(before=lambda: None):
        nonlocal steps
        steps -= 1
        if steps < 0:
            before()
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(f):
        def call(*args, **kwargs):
            step()
            return f(*args, **kwargs)
        return call

    def append(self, line):
        step(lambda: (self._file.write(json.dumps(line).encode()[:20]), self._file.flush()))
        write(self, line)

    for owner, name in ((os, "replace"), (os, "fsync"), (os, "open"), (pathlib.Path, "unlink"), (pathlib.Path, "mkdir"), (pathlib.Path, "rmdir")):
        setattr(owner, name, counted(getattr(owner, name)))
    write, output.Output._append = output.Output._append, append
    try:
        work()
    finally:
        os._exit(0)


class Folder(unittest.TestCase):
    """The folder of a job, without a cluster."""

    def outcome(self, out, path, error=None):
        files = {}
        for kind in () if error else output.KINDS:
            files[kind] = str(out.tmp / f"{path}-{kind}.parquet")
            with open(files[kind], "w") as f:
                f.write(f"{kind} of {path}")
        return {"files": files, "error": error, "frames": 0 if error else 3, "objects": 2, "bad_frames": 0, "seconds": 0.5}

    def work(self, place, failing=(), version=1, **kwargs):
        out = output.Output(place, {"detector": "x"}, **kwargs)
        for path in "abc":
            if not out.is_done(path, 1, version):
                out.publish(path, path, 1, version, self.outcome(out, path, "it is damaged" if path in failing else None))
        out.close()

    def tree(self, place):
        return {str(f.relative_to(place)): f.read_text() for f in sorted(place.rglob("*")) if f.is_file() and f.name != "manifest.jsonl"}

    def wanted(self, names):
        names = list(names)
        return {f"{kind}/stream={n}/part-0.parquet": f"{kind} of {n}" for kind in ("frames", "objects") for n in names}

    def consistent(self, place):
        """Opened again, the datasets hold what the manifest says, and nothing else lies there."""
        out = output.Output(place, {"detector": "x"})
        out.close()
        last = {line["path"]: line for line in manifest(place)[1:]}
        whole = {line["name"] for line in last.values() if line.get("error", "") is None}
        self.assertEqual(self.tree(place), self.wanted(whole))
        self.assertEqual({r["name"] for r in out.results.values() if r["error"] is None}, whole)

    def test_killed_at_every_step(self):
        steps = killed = 0
        while killed == steps:
            place = folder(f"killed-{steps}")
            # a is done and stays; b and c are done and have changed since, and c is now damaged.
            self.work(place)
            self.assertEqual(self.tree(place), self.wanted("abc"))

            def again():
                self.work(place, failing="c", version=2)

            killed += killed_after(steps, again)
            steps += 1
            self.consistent(place)
            again()
            self.assertEqual(self.tree(place), self.wanted("ab"))
            self.assertEqual({p: (r["mtime_ns"], r["error"]) for p, r in results(place).items()},
                             {"a": (2, None), "b": (2, None), "c": (2, "it is damaged")})
        self.assertGreater(steps, 20)

    def test_killed_while_beginning_anew(self):
        steps = killed = 0
        while killed == steps:
            place = folder(f"anew-{steps}")
            self.work(place)
            (place / "notes.txt").write_text("mine")
            (place / "frames" / "stream=a" / "notes.txt").write_text("mine")

            def anew():
                self.work(place, version=3, resume=False)

            killed += killed_after(steps, anew)
            steps += 1
            anew()
            tree = self.tree(place)
            self.assertEqual([tree.pop(n) for n in ("notes.txt", "frames/stream=a/notes.txt")], ["mine", "mine"])
            self.assertEqual(tree, self.wanted("abc"))
            self.assertEqual([line["mtime_ns"] for line in manifest(place) if "name" in line], [3, 3, 3])
        self.assertGreater(steps, 20)

    def test_only_what_is_ours(self):
        mine = folder("mine")
        (mine / "thesis.txt").write_text("x")
        for resume in (True, False):
            with self.assertRaisesRegex(framemill.InvalidArgument, "is not empty, and map_videos did not make"):
                output.Output(mine, {}, resume)
        (mine / "manifest.jsonl").write_text('{"name": "a package"}\n')
        for resume in (True, False):
            with self.assertRaisesRegex(framemill.InvalidArgument, "is no manifest of map_videos"):
                output.Output(mine, {}, resume)
        self.assertEqual(self.tree(mine), {"thesis.txt": "x"})

    def test_a_damaged_manifest(self):
        place = folder("damaged")
        self.work(place)
        path = place / "manifest.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:3]) + b"{]\n" + b"".join(lines[3:]))
        with self.assertRaisesRegex(framemill.FramemillError, "line 4 of .* is damaged"):
            output.Output(place, {"detector": "x"})
        self.work(place, resume=False)
        self.assertEqual((len(manifest(place)), self.tree(place)), (7, self.wanted("abc")))
        path.write_bytes(lines[0].replace(b'"format": 1', b'"format": 2'))
        with self.assertRaisesRegex(framemill.FramemillError, "another version"):
            output.Output(place, {"detector": "x"})

    def test_other_settings(self):
        place = folder("settings")
        self.work(place)
        for settings, what in (({"detector": "y"}, "made with detector=x, and now it is detector=y"), ({}, "with detector=x, and now it is no detector"),
                               ({"detector": "x", "frames": "3"}, "with no frames, and now it is frames=3")):
            with self.assertRaisesRegex(framemill.InvalidArgument, what):
                output.Output(place, settings)
        self.assertEqual(self.tree(place), self.wanted("abc"))

    def test_two_at_a_time(self):
        place = folder("two")
        first = output.Output(place, {})
        with self.assertRaisesRegex(framemill.FramemillError, "another map_videos writes"):
            output.Output(place, {})
        first.close()
        output.Output(place, {}).close()

    def test_a_part_that_was_deleted(self):
        place = folder("deleted")
        self.work(place)
        (place / "objects" / "stream=b" / "part-0.parquet").unlink()
        self.work(place)
        self.assertEqual(self.tree(place), self.wanted("abc"))

    def test_not_writable(self):
        (HOME / "a-file").write_text("x")
        for place in (HOME / "a-file", HOME / "a-file" / "below", "/proc/nothing"):
            with self.assertRaisesRegex(framemill.FramemillError, "cannot write to the folder") as e:
                output.Output(place, {})
            self.assertNotIn("\n", str(e.exception))


class Moody:
    """An actor that dies of some jobs."""

    def __init__(self, start_fails=False):
        self.start_fails = start_fails

    def start(self):
        if self.start_fails:
            os._exit(1)

    def process(self, job):
        if job < 0:
            os._exit(1)
        if job == 13:
            raise RuntimeError("bad luck")
        return job * job


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        framemill.ray.connect()

    @classmethod
    def tearDownClass(cls):
        ray.shutdown()

    def pool(self, work, size=2, retries=2, most=None, **kwargs):
        actor, out = ray.remote(num_cpus=0.5)(Moody), 0
        most = [] if most is None else most

        def give(a, job):
            nonlocal out
            out += 1
            most.append(out)
            return a.process.remote(job)

        pool, got = jobs.JobPool(lambda: actor.remote(**kwargs), give, size, retries), {}
        try:
            for job, outcome in pool.run(work, lambda: None):
                got[job] = outcome
                out -= 1
        finally:
            pool.close()
        return got

    def test_a_job_that_kills_its_actor(self):
        with self.assertLogs("framemill.ray", "WARNING") as logs:
            got = self.pool([*range(5), -1, *range(5, 10)])
        lost = got.pop(-1)
        self.assertEqual(got, {i: i * i for i in range(10)})
        self.assertIsInstance(lost, jobs.Lost)
        self.assertRegex(lost.why, "its worker was lost 3 times: [^\n]+$")
        self.assertEqual(len(logs.output), 3)

    def test_few_jobs_are_out(self):
        most = []
        self.assertEqual(len(self.pool(iter(range(14, 214)), most=most)), 200)
        self.assertLessEqual(max(most), 4)
        self.assertEqual(len(most), 200)

    def test_failures_that_end_all(self):
        with self.assertRaisesRegex(framemill.FramemillError, "a worker failed: .*bad luck"):
            self.pool(range(20))
        with self.assertRaisesRegex(framemill.FramemillError, "workers are lost before"), self.assertLogs("framemill.ray", "WARNING"):
            self.pool(range(2), start_fails=True)

    def test_what_the_command_says(self):
        pictures = folder("album")
        for i in range(3):
            cv2.imwrite(str(pictures / f"p{i}.png"), scene(8 * i))
        inputs = [SOURCE.format(1), SOURCE.format(2), str(pictures), video(HOME / "clips" / "door.avi"), video(HOME / "clips" / "x" / "door.avi", 9)]
        p = subprocess.run([COMMAND, "run", *inputs, "--detector", "motion", "--tracker", "bytetrack", "--quiet"], capture_output=True, text=True, check=True)
        lines = collections.defaultdict(list)
        for line in map(json.loads, p.stdout.splitlines()):
            lines[line["stream"]].append(line)
        out, seen = HOME / "said", []
        summary = framemill.ray.map_videos(inputs, out, FOLLOWED, concurrency=2, progress=seen.append)
        self.assertEqual((summary.done, summary.skipped, summary.failed, summary.bad_frames), (5, 0, {}, 0))
        self.assertEqual(set(lines), {"testsrc", "testsrc-2", "album", "door", "door-2"})
        got = tables(out)
        self.assertEqual(len(got), 10)
        for name, of in lines.items():
            frames, objects = zip(*map(wanted_rows, of))
            self.assertEqual(got[f"frames/stream={name}/part-0.parquet"].to_pylist(), list(frames))
            self.assertEqual(got[f"objects/stream={name}/part-0.parquet"].to_pylist(), [o for some in objects for o in some])
        self.assertEqual(summary.frames, sum(map(len, lines.values())))
        self.assertEqual(summary.objects, sum(len(line["objects"]) for some in lines.values() for line in some))
        self.assertEqual({p: r["name"] for p, r in results(out).items()}, dict(zip(inputs, ("testsrc", "testsrc-2", "album", "door", "door-2"))))
        self.assertEqual([s.files for s in seen], [1, 2, 3, 4, 5])
        self.assertEqual((seen[-1].of, seen[-1].failed, seen[-1].frames, seen[-1].left_s), (5, 0, summary.frames, 0))
        self.assertFalse(list((out / "tmp").iterdir()))
        self.read_as_one(out, lines)
        self.mapped(inputs, lines)

    def read_as_one(self, out, lines):
        """With the stream as a column, and one schema."""
        frames = pa.dataset.dataset(out / "frames", partitioning="hive").to_table().to_pylist()
        self.assertEqual(collections.Counter(r["stream"] for r in frames), {n: len(some) for n, some in lines.items()})
        objects = pa.dataset.dataset(out / "objects", partitioning="hive").to_table()
        self.assertEqual(len(objects), sum(r["objects"] for r in frames))
        self.assertTrue(0 < objects["track_id"].null_count < len(objects))
        self.assertEqual(str(objects.schema.field("stream").type), "string")
        for kind in output.KINDS:
            schemas = {str(t.schema.remove_metadata()) for name, t in tables(out).items() if name.startswith(kind)}
            self.assertEqual(schemas, {str(rows_of.schema(kind))})

    def mapped(self, inputs, lines):
        """VideoMapper says the same, joined."""
        bad = HOME / "bad.mp4"
        bad.write_bytes(b"x" * 100)
        rows = ray.data.from_items([{"path": p} for p in [*inputs, str(bad)]]).map_batches(
            framemill.ray.VideoMapper, fn_constructor_kwargs={"config": FOLLOWED}, batch_size=1, compute=ray.data.ActorPoolStrategy(size=1)).take_all()
        by_path = collections.defaultdict(list)
        for r in rows:
            by_path[r.pop("path")].append(r)
        (failed,) = by_path.pop(str(bad))
        self.assertIn("is not a video that can be read", failed["error"])
        self.assertIsNone(failed["frame"])
        self.assertEqual(failed["stream"], "bad")
        for path, name in zip(inputs, ("testsrc", "testsrc-2", "album", "door", "door-2")):
            wanted = []
            for line in lines[name]:
                frame, objects = wanted_rows(line)
                frame = {k: v for k, v in frame.items() if k not in ("objects", "extra")} | {"frame_extra": None, "stream": name.split("-")[0]}
                none = dict.fromkeys(("label", "class_id", "score", "x", "y", "w", "h", "track_id", "extra"))
                wanted += [{**frame, **o} for o in objects or [none]]
            self.assertEqual(by_path[path], wanted)

    def test_skipped_changed_and_failed(self):
        clips = folder("again")
        a, b = video(clips / "a.avi"), video(clips / "b.avi")
        bad = clips / "bad.mp4"
        bad.write_bytes(b"x" * 100)
        out = HOME / "again-out"
        latin = os.fsencode(clips) + b"/caf\xe9.mp4"
        open(latin, "wb").close()
        summary = framemill.ray.map_videos(clips, out, **SHAPES)
        self.assertEqual((summary.done, summary.skipped, sorted(summary.failed), summary.frames), (2, 0, [str(bad), os.fsdecode(latin)], 40))
        self.assertRegex(summary.failed[os.fsdecode(latin)], "is no UTF-8: rename the file")
        os.unlink(latin)
        self.assertRegex(summary.failed[str(bad)], "^'.*' is not a video that can be read[^\n]*$")
        self.assertEqual(len(tables(out)), 4)
        before = {f: f.stat().st_ino for f in out.glob("*/stream=*/*")}
        summary = framemill.ray.map_videos(clips, out, **SHAPES | {"threads": 1, "batch_size": 2})
        self.assertEqual((summary.done, summary.skipped, list(summary.failed), summary.frames), (0, 2, [str(bad)], 40))
        self.assertEqual({f: f.stat().st_ino for f in out.glob("*/stream=*/*")}, before)
        video(clips / "b.avi", 7)
        os.replace(video(clips / "new.avi", 5), bad)
        summary = framemill.ray.map_videos(clips, out, **SHAPES)
        self.assertEqual((summary.done, summary.skipped, summary.failed, summary.frames), (2, 1, {}, 32))
        self.assertEqual(before[out / "objects/stream=a/part-0.parquet"], (out / "objects/stream=a/part-0.parquet").stat().st_ino)
        with self.assertRaisesRegex(framemill.InvalidArgument, "made with detector=shapes:size=96x64, and now it is detector=motion"):
            framemill.ray.map_videos(clips, out, backend="ref", detector="motion")
        pathlib.Path(a).unlink()
        pathlib.Path(b).write_bytes(b"x")
        # What is no longer asked for stays; what has become unreadable goes.
        summary = framemill.ray.map_videos([b], out, **SHAPES)
        self.assertEqual((summary.done, list(summary.failed)), (0, [b]))
        self.assertEqual({n.split("=")[1].split("/")[0] for n in tables(out)}, {"a", "bad"})
        summary = framemill.ray.map_videos([SOURCE.format(1)], out, resume=False, detector="motion")
        self.assertEqual({n.split("=")[1].split("/")[0] for n in tables(out)}, {"testsrc"})

    def test_what_could_be_read(self):
        """Of a folder with a damaged picture, and of nothing else than that."""
        album, only = folder("torn"), folder("torn-only")
        for i in range(3):
            cv2.imwrite(str(album / f"p{i}.png"), scene(i))
        for place in (album, only):
            (place / "p1.png").write_bytes(b"x" * 100)
        summary = framemill.ray.map_videos([album, only], HOME / "torn-out", **SHAPES)
        self.assertEqual((summary.done, sorted(summary.failed), summary.frames), (0, [str(album), str(only)], 2))
        self.assertEqual({n: t["file"].to_pylist() for n, t in tables(HOME / "torn-out").items() if n.startswith("frames")},
                         {"frames/stream=torn/part-0.parquet": ["p0.png", "p2.png"]})
        cv2.imwrite(str(album / "p1.png"), scene(1))
        summary = framemill.ray.map_videos([album, only], HOME / "torn-out", **SHAPES)
        self.assertEqual((summary.done, sorted(summary.failed), summary.frames), (1, [str(only)], 3))

    def test_frames_whose_model_failed(self):
        out = HOME / "bad-frames"
        settings = SHAPES | {"detector": "shapes:size=96x64:fail_every=5", "batch_size": 1}
        with contextlib.redirect_stderr(io.StringIO()) as said:
            summary = framemill.ray.map_videos([SOURCE.format(1)], out, progress=True, **settings)
        self.assertRegex(said.getvalue(), r"\r1/1 files, 1 failed, \d+ frames/s, 0:00:00 left\x1b\[K\n$")
        self.assertEqual((summary.done, summary.failed), (0, {SOURCE.format(1): "ref: a start failed, as asked for by fail_every"}))
        frames = tables(out)["frames/stream=testsrc/part-0.parquet"]
        failed = len(frames) - frames["error"].null_count
        self.assertEqual((len(frames), summary.frames), (30, 30))
        self.assertEqual((failed, summary.bad_frames), (6, 6))

    def test_a_worker_is_killed(self):
        inputs = [SOURCE.format(i) for i in range(6)]
        framemill.ray.map_videos(inputs, HOME / "calm", **SLOW)
        killed = []

        def kill(progress):
            while not killed:
                for pid in workers(b"ray::_Worker.process"):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break

        with self.assertLogs("framemill.ray", "WARNING"):
            summary = framemill.ray.map_videos(inputs, HOME / "shaken", concurrency=2, progress=kill, **SLOW)
        self.assertEqual((summary.done, summary.failed), (6, {}))
        self.assertEqual(tables(HOME / "shaken"), tables(HOME / "calm"))
        self.assertFalse(list((HOME / "shaken" / "tmp").iterdir()))

    def child(self, inputs, out):
        code = ("import framemill.ray\n"
                f"framemill.ray.map_videos({inputs!r}, {str(out)!r}, progress=lambda p: print(p.files, flush=True), address='local', **{SLOW!r})\n")
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))

    def test_the_driver_is_killed(self):
        inputs = [SOURCE.format(i) for i in range(6)]
        out = HOME / "resumed"
        child = self.child(inputs, out)
        for line in child.stdout:
            if line == "2\n":
                os.killpg(child.pid, signal.SIGKILL)
                break
        child.communicate()
        self.assertEqual(child.returncode, -signal.SIGKILL)
        done = sum(r["error"] is None for r in results(out).values())
        self.assertIn(done, range(2, 6))
        summary = framemill.ray.map_videos(inputs, out, **SLOW)
        self.assertEqual((summary.done, summary.skipped, summary.failed), (6 - done, done, {}))
        framemill.ray.map_videos(inputs, HOME / "undisturbed", **SLOW)
        self.assertEqual(tables(out), tables(HOME / "undisturbed"))

    def test_ctrl_c(self):
        inputs = [SOURCE.format(i) for i in range(6)]
        out = HOME / "interrupted"
        child = self.child(inputs, out)
        self.assertEqual(child.stdout.readline(), "1\n")
        os.kill(child.pid, signal.SIGINT)
        _, err = child.communicate()
        self.assertIn("KeyboardInterrupt", err)
        self.assertNotEqual(child.returncode, 0)
        self.assertFalse(list((out / "tmp").iterdir()))
        done = sum(r["error"] is None for r in results(out).values())
        self.assertEqual(framemill.ray.map_videos(inputs, out, **SLOW).skipped, done)

    def test_refusals(self):
        out = HOME / "refused"
        for settings, what in (({"trackker": "x"}, "there is no setting 'trackker'"), ({"annotate": True}, "'annotate' has no place here"),
                               ({"store_dir": "x"}, "'store_dir' has no place here"), ({"pictures": True}, "'pictures' has no place here"),
                               ({"num_cpus": -1}, "num_cpus is -1"), ({"num_cpus": 0}, "num_cpus is 0"), ({"concurrency": 0}, "concurrency is 0"),
                               ({"retries": -1}, "retries is -1")):
            with self.assertRaisesRegex(framemill.InvalidArgument, what):
                framemill.ray.map_videos([SOURCE.format(1)], out, **settings)
            self.assertFalse(out.exists())
        with self.assertRaisesRegex(framemill.InvalidArgument, "no machine of the cluster has 4096 CPUs"):
            framemill.ray.map_videos([SOURCE.format(1)], out, num_cpus=4096)
        with self.assertRaisesRegex(framemill.NotFound, "on the machine .*: there is no model 'yolox-nanno'"):
            framemill.ray.map_videos([SOURCE.format(1)], out, resume=False, detector="yolox-nanno")
        with self.assertRaisesRegex(framemill.InvalidArgument, "a column 'path', and these have 'url'"):
            list(framemill.ray.VideoMapper(**SHAPES)({"url": ["x"]}))


class Missing(unittest.TestCase):
    def test_packages(self):
        for name in ("ray", "pyarrow"):
            for call in (f"framemill.ray.map_videos(['{SOURCE.format(1)}'], '{HOME / 'missing'}')",
                         f"list(framemill.ray.VideoMapper(detector='none')({{'path': ['{SOURCE.format(1)}']}}))"):
                code = f"import sys; sys.modules[{name!r}] = None; import framemill.ray; {call}"
                p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
                self.assertEqual(p.returncode, 1)
                self.assertRegex(p.stderr.splitlines()[-1], rf"MissingPackage: .* the package {name}: pip install 'ray\[data\]==2.60.0'")


if __name__ == "__main__":
    harness.main()
