# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Videos by the thousand over the machines of a Ray cluster, into Parquet."""
from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from typing import Any, Callable, Mapping

from ..config import Config
from ..errors import FramemillError, InvalidArgument, NotFound
from ._cluster import connect, leave, need_ray
from .inputs import Paths, find, names, signature
from .output import Output
from .jobs import JobPool, Lost, room
from .rows import Parts, Reader, need_pyarrow, worker_settings

#: Settings of speed alone: a job may be taken up with others.
SPEED = {"batch_size", "batch_timeout_ms", "latency_goal_ms", "num_workers", "threads", "buffer_size", "buffer_bytes", "cache", "timeout",
         "log_level"}


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of one call: files done, skipped since they were done already, failed and why; frames and objects of them that are in the datasets
    now. bad_frames: without objects, since a model failed on them."""
    out: str
    done: int
    skipped: int
    failed: dict[str, str]
    frames: int
    objects: int
    bad_frames: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
    """Of one call, after each file: files that are over of those there were to do, failed among them, frames and objects. left_s:
    seconds that are left, by the bytes of the files; None at first."""
    files: int
    of: int
    failed: int
    frames: int
    objects: int
    seconds: float
    left_s: float | None


@dataclasses.dataclass(frozen=True)
class _Job:
    path: str
    name: str
    size: int | None
    mtime_ns: int | None

    @property
    def weight(self) -> int:
        return self.size or 1


class _Worker:
    """An actor: its own models, one file after the other."""

    def __init__(self, settings: Mapping[str, Any], threads: float, tmp: str) -> None:
        self._reader, self._tmp = Reader(settings, threads), tmp

    def start(self) -> None:
        if not os.path.isdir(self._tmp):
            raise NotFound(f"the machine {socket.gethostname()} does not see '{os.path.dirname(self._tmp)}': give a folder that all "
                           "machines of the cluster share", "NOTFOUND")
        try:
            self._reader.start()
        except FramemillError as e:
            raise type(e)(f"on the machine {socket.gethostname()}: {e}", e.status, e.native) from e

    def process(self, path: str, name: str) -> dict[str, Any]:
        begun, counts, error = time.monotonic(), {"frames": 0, "objects": 0, "bad_frames": 0}, None
        try:
            with Parts(self._tmp, name) as parts:
                try:
                    for line in self._reader.lines(path):
                        parts.add(line)
                        counts["frames"] += 1
                        counts["objects"] += len(line.get("objects", ()))
                        counts["bad_frames"] += "error" in line
                except FramemillError as e:
                    error = str(e)
                if counts["frames"] or not error:
                    parts.commit()
        except OSError as e:
            raise FramemillError(f"cannot write to '{self._tmp}' on the machine {socket.gethostname()}: {e.strerror or e}", "IO") from e
        return {"files": parts.files if parts.kept else {}, "seconds": round(time.monotonic() - begun, 3), "error": error, **counts}


class _Tally:
    """What a call has done so far, for whoever looks on."""

    def __init__(self, jobs: list[_Job], watch: Callable[[Progress], None] | bool | None) -> None:
        self._begun, self._of = time.monotonic(), len(jobs)
        self._weight, self._all = 0, sum(j.weight for j in jobs)
        self.files = self.frames = self.objects = 0
        self.failed: dict[str, str] = {}
        self._watch = watch if callable(watch) else None
        self._line = watch is True or watch is None and sys.stderr.isatty()

    def add(self, job: _Job, outcome: Mapping[str, Any]) -> None:
        self.files += 1
        self._weight += job.weight
        self.frames += outcome["frames"]
        self.objects += outcome["objects"]
        if outcome["error"] is not None:
            self.failed[job.path] = outcome["error"]
        if self._watch:
            self._watch(self.progress())

    def progress(self) -> Progress:
        seconds = time.monotonic() - self._begun
        left = seconds * (self._all - self._weight) / self._weight if self._weight else None
        return Progress(self.files, self._of, len(self.failed), self.frames, self.objects, seconds, left)

    def show(self) -> None:
        if self._line:
            p = self.progress()
            left = "" if p.left_s is None else f", {int(p.left_s) // 3600}:{int(p.left_s) // 60 % 60:02}:{int(p.left_s) % 60:02} left"
            failed = f", {p.failed} failed" if p.failed else ""
            rate = p.frames / max(p.seconds, 1e-9)
            print(f"\r{p.files}/{p.of} files{failed}, {rate:.0f} frames/s{left}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._line:
            print(file=sys.stderr)


def _check_numbers(num_cpus: float, num_gpus: float, concurrency: int | None, retries: int) -> None:
    if num_cpus < 0 or num_gpus < 0 or not (num_cpus or num_gpus):
        raise InvalidArgument(f"num_cpus is {num_cpus} and num_gpus is {num_gpus}; what a worker takes of a machine was expected", "INVAL")
    if concurrency is not None and concurrency < 1:
        raise InvalidArgument(f"concurrency is {concurrency}; a number of workers, 1 or more, was expected", "INVAL")
    if retries < 0:
        raise InvalidArgument(f"retries is {retries}; 0 or more was expected", "INVAL")


def _run(jobs: list[_Job], output: Output, make: Callable[[], Any], size: int, retries: int, tally: _Tally) -> None:
    pool = JobPool[_Job](make, lambda actor, job: actor.process.remote(job.path, job.name), size, retries)
    try:
        # The longest first, so that the end is not one long video that one worker has.
        for job, outcome in pool.run(sorted(jobs, key=lambda j: -j.weight), tally.show):
            if isinstance(outcome, Lost):
                outcome = {"error": outcome.why, "files": {}, "frames": 0, "objects": 0, "bad_frames": 0, "seconds": 0.0}
            output.publish(job.path, job.name, job.size, job.mtime_ns, outcome)
            tally.add(job, outcome)
    finally:
        pool.close()
        tally.end()


def map_videos(paths: Paths, out: str | os.PathLike[str], config: Config | None = None, *, address: str | None = None, num_cpus: float = 1,
               num_gpus: float = 0, concurrency: int | None = None, retries: int = 3, resume: bool = True,
               progress: Callable[[Progress], None] | bool | None = None, **settings: Any) -> Summary:
    """Processes files on all machines of a cluster, and writes what is in them to Parquet below `out`.

    `paths`: a list of videos, folders of pictures, testsrc: inputs; or one folder, whose videos are taken from all depths, or one
    pattern (`cams/**/*.mp4`). `config` and `settings` are those of VideoStreamManager. All machines see inputs and `out` under the same
    paths. `concurrency` workers (as many as the cluster has room for) with `num_cpus` cores and `num_gpus` GPUs each load the models
    once, and take one file after the other.

    Where a worker or its machine is lost, its file begins anew elsewhere, `retries` times at most. Of a file that fails there is what
    could be read of it; the Summary says why it failed, and the others go on. However a call ended, the next one goes on: files that are
    done and have not changed are skipped. `resume=False` deletes what an earlier call made, and begins anew.

    `progress` is called after each file; True: a line on standard error, as there is by itself where that is a terminal; False: none.
    """
    need_ray()
    need_pyarrow("pyarrow.parquet")
    _check_numbers(num_cpus, num_gpus, concurrency, retries)
    begun, given = time.monotonic(), worker_settings(config, settings)
    inputs = find(paths, bounded=str(given.get("frames", "0")) != "0")
    output = Output(out, {k: str(v) for k, v in given.items() if k not in SPEED}, resume)
    try:
        called = names(inputs, {path: r["name"] for path, r in output.results.items()})
        jobs = [_Job(path, called[path], *signature(path)) for path in inputs]
        todo = [j for j in jobs if not output.is_done(j.path, j.size, j.mtime_ns)]
        tally = _Tally(todo, progress)
        joined = connect(address) if todo else False
        try:
            if todo:
                size = min(concurrency or room(num_cpus, num_gpus), len(todo))
                actor = need_ray().remote(num_cpus=num_cpus, num_gpus=num_gpus, max_restarts=0, max_task_retries=0)(_Worker)
                _run(todo, output, lambda: actor.remote(given, num_cpus, str(output.tmp)), size, retries, tally)
        finally:
            if joined:
                leave()
        frames, objects, bad = (sum(output.results[j.path][k] for j in jobs) for k in ("frames", "objects", "bad_frames"))
        return Summary(str(output.folder), len(todo) - len(tally.failed), len(jobs) - len(todo), tally.failed, frames, objects, bad,
                       time.monotonic() - begun)
    finally:
        output.close()
