# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The actors: made, asked, given up. What is asked of one is asked without waiting, and answers are taken as they come."""
from __future__ import annotations

import math
import time
from typing import Any, Mapping

from ..errors import BY_STATUS, FramemillError
from ._cluster import need_ray, reason
from .flow import Flow
from .worker import Hello, Load, StreamWorker, Taken

MOST = 256           # records of one answer
WAIT_MS = 250        # in which they come together: an answer costs about two milliseconds of processors
LIVE_WAIT_MS = 50    # the same where somebody may look at them as they come
SMOOTH_S = 2.0       # over which loads are averaged

# An actor that Ray starts again would come back without its streams, and a `take` that it tries again would find the records gone that
# the first one took: so Ray does neither, and the pool makes another actor, wherever there is room.
FAULTS = {"max_restarts": 0, "max_task_retries": 0}


class Post:
    """An actor, and what was asked of it."""

    def __init__(self, number: int, actor: Any, cores: float, buffer_size: int) -> None:
        self.number, self.actor, self._cores, self._buffer_size = number, actor, cores, buffer_size
        self.hello: Hello | None = None
        self.flows: dict[str, Flow] = {}
        self.adds: dict[Any, Flow] = {}
        self.asked: Any = actor.hello.remote()
        self.since = self.idle_since = time.monotonic()
        self.busy = self.fps = 0.0
        self.queued = self.rss_bytes = self.dropped = self.frames = self.unmeasured = 0
        self.behind_at = -math.inf
        self._shares: dict[str, int] = {}

    @property
    def host(self) -> str:
        return f"{self.hello.host} ({self.hello.node[:8]})" if self.hello else "?"

    def take(self) -> None:
        wait = LIVE_WAIT_MS if any(f.live for f in self.flows.values()) else WAIT_MS
        self.asked, self.since = self.actor.take.remote(MOST, wait), time.monotonic()

    def add(self, flow: Flow) -> None:
        self.flows[flow.name] = flow
        self.unmeasured += 1
        self.adds[self.actor.add.remote(flow.source())] = flow

    def remove(self, name: str) -> None:
        self.actor.remove.remote(name)

    def note(self, taken: Taken) -> None:
        """What an answer says of the load."""
        load: Load = taken.load
        for name, expected in taken.expected.items():
            if name in self.flows:
                self.flows[name].expect(expected)
        weight = 1 - math.exp(-load.wall_s / SMOOTH_S)
        self.busy += weight * (min(1.0, load.busy_s / max(load.wall_s, 1e-6) / self._cores) - self.busy)
        self.fps += weight * (load.frames / max(load.wall_s, 1e-6) - self.fps)
        self.queued, self.rss_bytes = load.queued, load.rss_bytes
        self.frames, self.dropped = self.frames + load.frames, self.dropped + load.dropped
        for r in taken.records:
            self._shares[r[0]] = self._shares.get(r[0], 0) + 1
        now = time.monotonic()
        # Files wait for a model as much as they can; of a live source it says that frames will be lost.
        live = sum(f.live for f in self.flows.values())
        if live and (load.dropped or 2 * load.queued > live * self._buffer_size):
            self.behind_at = now
        if now - self.since > SMOOTH_S / 4:
            self.unmeasured = 0
        if self.flows:
            self.idle_since = now

    def costs(self) -> dict[str, float]:
        """Of its streams, in its processors: by their share of the frames."""
        counts = {n: self._shares.get(n, 0) for n in self.flows}
        total = sum(counts.values())
        return {n: self.busy * c / total for n, c in counts.items()} if total else {}

    def status(self) -> dict[str, Any]:
        h = self.hello
        return {"worker": self.number, "host": h.host if h else None, "node": h.node if h else None, "pid": h.pid if h else None,
                "streams": len(self.flows), "frames": self.frames, "fps": round(self.fps, 1), "busy": round(self.busy, 3),
                "queued": self.queued, "dropped": self.dropped, "rss_bytes": self.rss_bytes}


class Pool:
    def __init__(self, settings: Mapping[str, Any], buffer_size: int, streams: int, options: Mapping[str, Any]) -> None:
        self._args = (dict(settings), buffer_size, streams)
        self._cores = max(0.01, float(options.get("num_cpus") or 1))
        self._made = need_ray().remote(StreamWorker).options(**options, **FAULTS, scheduling_strategy="SPREAD")
        self.posts: list[Post] = []
        self.count = self.lost = 0

    def ready(self) -> list[Post]:
        return [p for p in self.posts if p.hello]

    def start_one(self) -> None:
        self.posts.append(Post(self.count, self._made.remote(*self._args), self._cores, self._args[1]))
        self.count += 1

    def drop(self, post: Post) -> None:
        self.posts.remove(post)
        need_ray().kill(post.actor)

    def answers(self, wait_s: float) -> list[tuple[Post, Any, Any]]:
        """(post, what was asked, the answer or the failure), of all that have come."""
        ray = need_ray()
        asked: dict[Any, Post] = {}
        for post in self.posts:
            asked |= dict.fromkeys([post.asked, *post.adds], post)
        if not asked:
            return []
        refs = list(asked)
        came, rest = ray.wait(refs, num_returns=1, timeout=wait_s)
        if rest and came:
            came += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        out = []
        for ref in came:
            try:
                answer: Any = ray.get(ref)
            except ray.exceptions.RayError as e:
                answer = e
            out.append((asked[ref], ref, answer))
        return out

    def close(self) -> None:
        for post in list(self.posts):
            self.drop(post)


def refusal(hello: Hello) -> FramemillError:
    """A machine has not got what the others have."""
    said = f"{hello.host}, node {hello.node[:8]}: {hello.error}"
    return BY_STATUS.get(hello.status, FramemillError)(said, hello.status)


def why(failure: BaseException) -> str:
    ray = need_ray()
    if isinstance(failure, ray.exceptions.ActorUnschedulableError):
        return "no machine of the cluster can hold it: " + reason(failure)
    cause = getattr(failure, "cause", None)
    if isinstance(cause, ImportError):
        return f"a machine has not got the package framemill ({cause}): pip install it there"
    return reason(failure)


