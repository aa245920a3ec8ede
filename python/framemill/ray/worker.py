# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What runs on a machine of the cluster: models loaded once, streams that come and go, results handed over when they are asked for.

An actor of it keeps nothing that is not somewhere else as well: each n-th record carries the state behind it, so whoever has taken
that record can let the stream go on in another actor."""
from __future__ import annotations

import os
import socket
import time
from typing import Any, Mapping, NamedTuple

from ..errors import FramemillError
from ..streams import VideoStreamManager as Local
from ._cluster import need_ray

#: A Record's fields as they travel.
Packed = tuple[str, int, "float | None", bytes, bytes, "bytes | None", "str | None"]

LOOK_MS = 20  # between two looks at whether anything more can come
ROOM = 4  # places of streams for each that runs: those that were taken away are still ending


class Hello(NamedTuple):
    """Who answers; `error` says why there are no models here."""
    host: str
    node: str
    pid: int
    error: str | None
    status: str


class Load(NamedTuple):
    """Of the time since the last look."""
    wall_s: float
    busy_s: float         # of the processors
    frames: int
    dropped: int
    queued: int           # frames that wait for a model now
    rss_bytes: int


class Taken(NamedTuple):
    records: list[Packed]
    ended: list[tuple[str, str | None]]    # streams whose last record was taken, and why, where they failed
    expected: dict[str, int]               # frames there will be, where it is known
    load: Load


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class StreamWorker:
    """Streams through one set of models, in a process of its own."""

    def __init__(self, settings: Mapping[str, Any], buffer_size: int, streams: int) -> None:
        node = str(need_ray().get_runtime_context().get_node_id())
        self._hello = Hello(socket.gethostname(), node, os.getpid(), None, "")
        self._manager: Local | None = None
        self._told: set[str] = set()
        self._seen = (time.monotonic(), time.process_time(), 0, 0)
        try:
            self._manager = Local([], buffer_size, dict(settings), stays=True, max_streams=ROOM * streams)
            self._manager.start()
        except FramemillError as e:
            self._hello = self._hello._replace(error=str(e), status=e.status)

    def hello(self) -> Hello:
        return self._hello

    def add(self, stream: Mapping[str, Any]) -> str | None:
        """Begins a stream, behind its `state` if it has one. What is wrong with it is returned."""
        assert self._manager is not None
        try:
            self._told.discard(stream["name"])
            self._manager.add_stream(stream)
        except FramemillError as e:
            return str(e)
        return None

    def remove(self, name: str) -> None:
        assert self._manager is not None
        try:
            self._manager.remove_stream(name)
        except FramemillError:
            pass  # it has ended by itself meanwhile, and `take` says so

    def take(self, most: int, wait_ms: int) -> Taken:
        """What comes in wait_ms, or until all streams have ended, `most` records at most: an answer costs as much as many records. One
        call at a time."""
        assert self._manager is not None
        streams = self._manager.streams
        records: list[Packed] = []
        until = time.monotonic() + wait_ms / 1e3
        while len(records) < most:
            try:
                result = self._manager.next(max(0, min(LOOK_MS, int((until - time.monotonic()) * 1e3))))
            except TimeoutError:
                if time.monotonic() < until and self._is_busy():
                    continue
                break
            if result is None:
                break
            records.append((result.stream, result.frame, result.pts_ms, result.to_json().encode(), result.detections.tobytes(),
                            result.state, result.error))
        # Who had ended before the queue was found empty has nothing in it any more.
        over = [n for n, s in streams.items() if s["ended"] and n not in self._told] if len(records) < most else []
        self._told.update(over)
        return Taken(records, [(n, streams[n]["error"]) for n in over], {n: s["expected"] for n, s in streams.items() if not s["ended"]},
                     self._load(streams))

    def _is_busy(self) -> bool:
        assert self._manager is not None
        return self._manager.progress["active"] > 0

    def _load(self, streams: Mapping[str, Mapping[str, Any]]) -> Load:
        assert self._manager is not None
        progress = self._manager.progress
        now = (time.monotonic(), time.process_time(), int(progress["frames"]), int(progress["dropped"]))
        wall, busy, frames, dropped = (a - b for a, b in zip(now, self._seen))
        self._seen = now
        return Load(wall, busy, int(frames), int(dropped), sum(s["queued"] for s in streams.values()), resident_bytes())

    def stop(self, drain: bool) -> None:
        """Ends all streams; what was read is still processed with `drain`, and its records are to be taken."""
        assert self._manager is not None
        for name, s in self._manager.streams.items():
            if not s["ended"]:
                self.remove(name)
        if not drain:
            self._manager.stop(drain=False)
