# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Videos, cameras and folders over the machines of a cluster: each actor decodes its own streams, records come back."""
from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import threading
import time
from types import TracebackType
from typing import Any, AsyncIterator, Iterator, Mapping, Sequence

from ..config import Config, Settings
from ..errors import Closed, FramemillError, InvalidArgument
from ..streams import VideoStreamManager as Local
from . import placing
from ._cluster import connect, leave, log, need_ray
from .flow import DONE, LEAVING, RUNNING, WAITING, Flow
from .pool import Pool, Post, refusal, why
from .records import Record
from .worker import Hello, Taken

SLICE_S = 0.1        # how long a wait lasts before Python looks at signals
TEND_S = 0.5         # between two looks at who has how much to do
HOT_S = 10.0         # between two streams that move because their worker lost frames
GROW_S = 3.0         # that streams wait, or frames are lost, before there is a worker more
IDLE_S = 10.0        # that a worker has nothing to do before there is one less
SOON_S = 10.0        # that an actor may take to start before its share goes to others
SAY_S = 30.0         # that nobody can be had before it is said

#: What a machine would write beside itself, where nobody looks for it.
NOT_HERE = {"annotate", "maps", "out", "store_dir", "mot_box", "redis_url", "detections", "max_streams", "report", "trace", "profile"}


class VideoStreamManager:
    """framemill.VideoStreamManager over a Ray cluster.

    `workers` actors, or (least, most) of them, with `num_cpus` and `num_gpus` each; each decodes up to `streams_per_worker` streams at a
    time, the others wait for a place. Iterating gives a Record for each frame, in order within a stream. Where an actor or its machine is
    lost, its streams go on elsewhere from the last checkpoint (each `checkpoint_every` frames), no frame of a file lost or given twice.
    """

    def __init__(self, streams: int | Sequence[str | Mapping[str, Any]], buffer_size: int = 30, config: Config | None = None, *,
                 workers: int | tuple[int, int] = 2, num_cpus: float = 1, num_gpus: float = 0, streams_per_worker: int = 8,
                 checkpoint_every: int = 25, max_losses: int = 16, answer_within_s: float = 60.0, start_within_s: float = 300.0,
                 address: str | None = None, resources: Mapping[str, float] | None = None,
                 runtime_env: Mapping[str, Any] | None = None, **settings: Any) -> None:
        need_ray()
        self._least, self._most = _range_of(workers)
        self._per = _at_least_one("streams_per_worker", streams_per_worker)
        every = _at_least_one("checkpoint_every", checkpoint_every)
        values = _settings(config, settings)
        self._max_frames = int(values.pop("frames", 0))
        values.setdefault("threads", max(1, int(num_cpus)))
        if num_gpus:
            values.setdefault("device", "cuda:0")
        self._made = Local(streams, config={"detector": "none"})
        self._worker_settings = {**values, "checkpoint_every": every}
        self._actor_options = {"num_cpus": num_cpus, "num_gpus": num_gpus, **({"resources": dict(resources)} if resources else {}),
                               **({"runtime_env": dict(runtime_env)} if runtime_env else {})}
        self._buffer_size, self._address = buffer_size, address
        self._max_losses, self._answer_within_s, self._start_within_s = max_losses, answer_within_s, start_within_s
        self._flows: dict[str, Flow] = {}
        self._waiting: collections.deque[Flow] = collections.deque()
        self._ready: collections.deque[Record] = collections.deque()
        self._refusals: list[str] = []
        self._moves = 0
        self._pool: Pool | None = None
        self._joined = self._closed = self._stopping = False
        self._began = self._tended = self._moved = self._need_since = 0.0
        self._alone_since: float | None = None
        self._lock = threading.RLock()

    def add_stream(self, source: str | Mapping[str, Any], name: str | None = None) -> None:
        """One more input, before the first record is asked for."""
        if self._pool is not None:
            raise InvalidArgument("the streams run already: add streams before", "BUSY")
        self._made.add_stream(source, name)

    def start(self) -> None:
        """Joins the cluster, and has the actors made; done by the first iteration. Idempotent."""
        with self._lock:
            if self._closed:
                raise Closed("this VideoStreamManager was closed", "INVAL")
            if self._pool is not None:
                return
            for (name, url), given in zip(self._made.names().items(), self._made.inputs):
                self._flows[name] = Flow(name, url, given, self._max_frames)
            self._waiting.extend(self._flows.values())
            self._joined = connect(self._address)
            self._pool = Pool(self._worker_settings, self._buffer_size, self._per, self._actor_options)
            for _ in range(self._least):
                self._pool.start_one()
            self._began = self._tended = self._moved = self._need_since = time.monotonic()

    def begin_at(self, taken: Mapping[str, tuple[int, bytes]]) -> None:
        """Streams by name, the last frame that was taken of each, and its record's state: before the first record is asked for, to go
        on where another manager of the same settings stopped."""
        self.start()
        for name, (frame, state) in taken.items():
            if name not in self._flows:
                raise InvalidArgument(f"there is no stream '{name}' to go on with", "INVAL")
            self._flows[name].begin_at(frame, state)

    def leave_out(self, names: Sequence[str]) -> None:
        """Streams that another manager has seen the end of."""
        self.start()
        for name in names:
            self._flows[name].phase = DONE
        self._waiting = collections.deque(f for f in self._waiting if f.phase != DONE)

    def _get(self) -> Pool:
        if self._closed or self._pool is None:
            raise Closed("this VideoStreamManager was closed" if self._closed else "no stream runs yet: call start()", "INVAL")
        return self._pool

    # One turn: answers, then who has how much to do.

    def _step(self, wait_s: float) -> None:
        pool = self._get()
        for post, ref, answer in pool.answers(wait_s):
            if post not in pool.posts:
                continue
            if isinstance(answer, BaseException):
                self._lose(post, why(answer))
            elif isinstance(answer, Hello):
                self._greet(post, answer)
            elif isinstance(answer, Taken):
                self._take(post, answer)
            else:
                self._added(post, post.adds.pop(ref), answer)
        now = time.monotonic()
        for post in [p for p in pool.posts if now - p.since > (self._answer_within_s if p.hello else self._start_within_s)]:
            self._lose(post, f"it did not answer within {now - post.since:.0f} s")
        self._place()
        if now - self._tended >= TEND_S:
            self._tended = now
            self._tend(now)

    def _greet(self, post: Post, hello: Hello) -> None:
        if hello.error:
            self._refuse(post, hello)
            return
        post.hello = hello
        post.take()

    def _refuse(self, post: Post, hello: Hello) -> None:
        """A machine cannot run the models. The others do, as long as there are any; which one cannot stands in the log and the report."""
        pool, error = self._get(), refusal(hello)
        pool.drop(post)
        if not pool.posts:
            raise error
        self._refusals.append(str(error))
        # Another one would be put there again.
        self._least, self._most = max(1, self._least - 1), max(1, self._most - 1)
        log.error("the cluster is one worker short: %s", error)

    def _take(self, post: Post, taken: Taken) -> None:
        for packed in taken.records:
            flow = self._flows[packed[0]]
            record = flow.accept(Record(*packed))
            if record is not None:
                self._ready.append(record)
            if flow.phase == DONE and flow.name in post.flows:
                post.remove(flow.name)
                del post.flows[flow.name]
        for name, error in taken.ended:
            ended = post.flows.pop(name, None)
            if ended is not None:
                self._ended(post, ended, error)
        post.note(taken)
        post.take()

    def _ended(self, post: Post, flow: Flow, error: str | None) -> None:
        if error:
            flow.fail(f"{error} (on {post.host})")
        elif flow.phase == LEAVING and not self._stopping:
            flow.phase = WAITING
            self._waiting.appendleft(flow)
        else:
            flow.phase = DONE

    def _added(self, post: Post, flow: Flow, error: str | None) -> None:
        if error:
            post.flows.pop(flow.name, None)
            flow.fail(f"{error} (on {post.host})")

    def _lose(self, post: Post, reason: str) -> None:
        pool = self._get()
        pool.drop(post)
        pool.lost += 1
        log.warning("worker %d on %s was lost (%s): %d streams go on elsewhere", post.number, post.host, reason, len(post.flows))
        for flow in post.flows.values():
            flow.lost(reason)
            if flow.phase == WAITING and not self._stopping:
                self._waiting.appendleft(flow)
            elif flow.phase == WAITING:
                flow.phase = DONE
        if pool.lost > self._max_losses:
            raise FramemillError(f"{pool.lost} workers were lost, more than max_losses; the last one: {reason}", "IO")
        if len(pool.posts) < self._least:
            pool.start_one()

    def _places(self, posts: Sequence[Post]) -> list[placing.Place]:
        now = time.monotonic()
        return [placing.Place(len(p.flows), self._per, p.busy, min(p.unmeasured, len(p.flows)), now - p.behind_at < GROW_S) for p in posts]

    def _place(self) -> None:
        pool = self._get()
        posts, room = pool.ready(), self._per
        # Who starts soon gets its share too.
        if any(not p.hello and time.monotonic() - p.since < SOON_S for p in pool.posts):
            room = min(room, -(-self._active() // len(pool.posts)))
        places = [p._replace(room=room) for p in self._places(posts)] if self._waiting else []
        while self._waiting:
            at = placing.least_loaded(places)
            if at is None:
                return
            posts[at].add(self._waiting.popleft())
            places[at] = places[at]._replace(streams=places[at].streams + 1, unmeasured=places[at].unmeasured + 1)

    def _tend(self, now: float) -> None:
        pool, posts = self._get(), self._get().ready()
        self._watch_for_nobody(now)
        places = self._places(posts)
        needed = bool(self._waiting) or any(p.behind for p in places)
        self._need_since = self._need_since if needed else now
        # Who has not started yet has nothing to do either.
        idle = [p for p in pool.posts if not p.flows and now - p.idle_since > IDLE_S] if not self._waiting else []
        urgent = now - self._need_since > GROW_S and len(posts) == len(pool.posts)
        wanted = placing.wanted(len(pool.posts), self._least, self._most, len(self._waiting) if urgent else 0,
                                sum(p.behind for p in places) if urgent else 0, len(idle))
        if wanted > len(pool.posts):
            self._need_since = now
            pool.start_one()
        for post in idle[:max(0, len(pool.posts) - wanted)]:
            pool.drop(post)
        if not self._waiting and not self._stopping:
            self._rebalance(posts, places, now)

    def _rebalance(self, posts: Sequence[Post], places: Sequence[placing.Place], now: float) -> None:
        """At most one stream is on its way from one worker to another."""
        if any(f.phase == LEAVING for f in self._flows.values()):
            return
        pair = placing.idle_one(places)
        if pair is not None:
            worth = [f for f in posts[pair[0]].flows.values() if f.phase == RUNNING and f.state is not None and self._is_worth(f)]
            if worth:
                self._move(posts[pair[0]], max(worth, key=lambda f: f.left))
            return
        hot = placing.hot_one(places, [p.costs() for p in posts]) if now - self._moved > HOT_S else None
        if hot is not None:
            self._move(posts[hot[1]], self._flows[hot[0]])

    def _is_worth(self, flow: Flow) -> bool:
        """What is done twice for the move is little beside what is left."""
        every = int(self._worker_settings["checkpoint_every"])
        return flow.live or flow.expected == 0 or flow.left > 4 * every

    def _move(self, post: Post, flow: Flow) -> None:
        self._moved = time.monotonic()
        self._moves += 1
        flow.phase = LEAVING
        post.remove(flow.name)

    def _watch_for_nobody(self, now: float) -> None:
        pool = self._get()
        if pool.ready() or not pool.posts:
            self._alone_since = None
            if not pool.posts and self._active():
                raise FramemillError("no worker is left, and no other one could be had", "IO")
            return
        before = self._alone_since
        self._alone_since = before if before is not None else now
        waited = now - self._alone_since
        if waited > SAY_S and waited - TEND_S <= SAY_S:
            log.warning("no worker has started for %.0f s: the cluster has %s free, and a worker asks for %s", waited,
                        need_ray().available_resources(), self._actor_options)

    def _active(self) -> int:
        return sum(1 for f in self._flows.values() if f.phase != DONE)

    # What programs call.

    def next(self, timeout_ms: int = -1) -> Record | None:
        """The next record of any stream, None when all have ended. TimeoutError when none came in time (negative: no limit)."""
        self.start()
        until = time.monotonic() + timeout_ms / 1e3
        with self._lock:
            while not self._ready:
                if not self._active():
                    return None
                rest = SLICE_S if timeout_ms < 0 else min(SLICE_S, max(0.0, until - time.monotonic()))
                self._step(rest)
                if not self._ready and 0 <= timeout_ms and time.monotonic() >= until:
                    raise TimeoutError(f"no record came in {timeout_ms} ms")
            return self._ready.popleft()

    def __iter__(self) -> Iterator[Record]:
        while True:
            record = self.next()
            if record is None:
                return
            yield record

    def _some(self) -> list[Record] | None:
        """What has come, after a little while; None: there will be no more."""
        with self._lock:
            if not self._ready and self._active():
                self._step(SLICE_S)
            out = list(self._ready)
            self._ready.clear()
            return out if out or self._active() else None

    async def process_streams(self) -> AsyncIterator[Record]:
        """The same for asyncio: the event loop is never held up. Leaving the loop early stops the streams."""
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, "framemill-ray") as pool:
            try:
                await loop.run_in_executor(pool, self.start)
                while (some := await loop.run_in_executor(pool, self._some)) is not None:
                    for record in some:
                        yield record
            except BaseException:
                if not self._closed:
                    self.stop(drain=False)
                raise

    def stop(self, drain: bool = True) -> None:
        """Ends the streams early. With drain what was read is still processed, and its records are to be taken."""
        with self._lock:
            pool = self._get()
            self._stopping = True
            self._waiting.clear()
            for flow in self._flows.values():
                flow.phase = DONE if flow.phase == WAITING or not drain else flow.phase
            for post in pool.ready():
                for name in list(post.flows):
                    post.remove(name)

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def names(self) -> list[str]:
        """What the streams are called, in order."""
        self.start()
        return list(self._flows)

    def over(self) -> set[str]:
        """Streams that have ended well, and of which every record was given."""
        ahead = {r.stream for r in self._ready}
        return {f.name for f in self._flows.values() if f.phase == DONE and not f.error} - ahead

    @property
    def progress(self) -> dict[str, float]:
        """frames, expected (0: unknown), dropped, objects, streams, active, failed, seconds, fps, waiting (streams without a place),
        workers, lost (workers), moved (streams, to a worker with less to do)."""
        pool, flows = self._get(), list(self._flows.values())
        known = all(f.expected or f.phase == DONE for f in flows)
        return {"frames": sum(f.frames for f in flows), "expected": sum(f.expected for f in flows) if known else 0,
                "dropped": sum(p.dropped for p in pool.posts), "objects": sum(f.objects for f in flows), "streams": len(flows),
                "active": self._active(), "failed": sum(1 for f in flows if f.error), "seconds": time.monotonic() - self._began,
                "fps": sum(p.fps for p in pool.posts), "waiting": len(self._waiting), "workers": len(pool.ready()), "lost": pool.lost, "moved": self._moves}

    @property
    def workers(self) -> list[dict[str, Any]]:
        """Of each actor: worker, host, node, pid, streams, frames, fps, busy (of its processors, 0..1), queued, dropped, rss_bytes."""
        return [p.status() for p in self._get().posts]

    @property
    def errors(self) -> dict[str, str]:
        """Streams that failed, by name, and why. The others go on."""
        return {f.name: f.error for f in self._flows.values() if f.error}

    def report(self) -> dict[str, Any]:
        """Of each stream url, frames, objects, and where there were any losses (of its worker), gap_s and gap_frames (of a live source
        meanwhile), error; the sums; and in `refused` which machines could not run the models, and why."""
        return {**self.progress, "workers": self.workers, "refused": list(self._refusals), "streams": {f.name: f.report() for f in self._flows.values()}}

    def close(self) -> None:
        """Ends the actors at once; a cluster that was joined here is left. Idempotent."""
        with self._lock:
            pool, self._pool, joined = self._pool, None, self._joined
            self._closed, self._joined = True, False
            if pool is not None:
                pool.close()
            if joined:
                leave()

    def __enter__(self) -> VideoStreamManager:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None) -> None:
        self.close()


def _range_of(workers: int | tuple[int, int]) -> tuple[int, int]:
    least, most = (workers, workers) if isinstance(workers, int) else workers
    if not 1 <= least <= most:
        raise InvalidArgument(f"workers is {workers}; a number from 1, or (least, most), was expected", "INVAL")
    return least, most


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise InvalidArgument(f"{name} is {value}; 1 and more are allowed", "INVAL")
    return value


def _settings(config: Config | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    """A flat dictionary that travels, of settings that were looked at here."""
    s = Settings(config, extra)
    refused = sorted(NOT_HERE & s.values.keys())
    if refused:
        raise InvalidArgument(f"'{refused[0]}' belongs to one machine, and the streams are on many: leave it out", "UNSUPPORTED")
    if s.pictures or s.stays:
        raise InvalidArgument("pictures do not travel, and streams come before the start: leave out pictures and stays", "UNSUPPORTED")
    return s.again()
