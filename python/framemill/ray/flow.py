# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""One stream's way through the cluster: where it is, what of it was taken, and where it goes on when its worker is lost.

A record with a state and that state come in one message, so what was taken and where to go on are never of two minds: a stream that
lost its worker begins behind its last state again, and what had been taken behind that is dropped when it comes a second time. A
live source cannot be had a second time: its frames are counted on, and the time between is counted as lost."""
from __future__ import annotations

from typing import Any, Mapping

from .records import Record

LIVE = ("rtsp:", "rtsps:", "http:", "https:", "v4l2:", "udp:", "srt:", "rtmp:")
BARREN = 3  # workers that a stream may lose without a record between: more, and it is the stream that kills them

WAITING, RUNNING, LEAVING, DONE = "waiting", "running", "leaving", "done"


class Flow:
    def __init__(self, name: str, url: str, given: Mapping[str, Any], max_frames: int) -> None:
        self.name, self.url = name, url
        self._given = {**given, "name": name}
        self.live = str(given["url"]).startswith(LIVE)
        self.first = int(given.get("start_frame", 0))
        self.last = self.first - 1
        self._limit = self.first + max_frames - 1 if max_frames else None
        self._state: bytes | None = given.get("state")
        self._behind = self.first  # the frame after the state
        self._begins = self.first  # where its worker began
        self._end = 0              # after its last frame; 0: unknown
        self._shift = 0
        self._resumed = False
        self._pts: float | None = None
        self.phase = WAITING
        self.error: str | None = None
        self.frames = self.objects = self.losses = self.barren = self.doubles = 0
        self.gap_s, self.gap_frames = 0.0, 0

    def source(self) -> dict[str, Any]:
        """What a worker is given."""
        self.phase, self._begins = RUNNING, self._behind
        self._resumed = self.losses > 0 or self.frames > 0
        out = {k: v for k, v in self._given.items() if k not in ("state", "start_frame")}
        if self._state is not None:
            return {**out, "state": self._state}
        return {**out, **{k: v for k, v in self._given.items() if k == "start_frame"}}

    @property
    def state(self) -> bytes | None:
        return self._state

    def expect(self, frames: int) -> None:
        """Its worker will give so many; 0: unknown."""
        end = self._begins + frames if frames else 0
        self._end = min(end, self._limit + 1) if end and self._limit is not None else end

    @property
    def expected(self) -> int:
        """Frames there will be; 0: unknown."""
        return self.frames if self.phase == DONE else max(0, self._end - self.first)

    @property
    def left(self) -> int:
        """Frames to come; 0: unknown, or none."""
        return max(0, self._end - self.last - 1)

    def begin_at(self, frame: int, state: bytes) -> None:
        """Up to `frame` all was taken by an earlier manager."""
        self.last, self._state = frame, state
        self.first = self._behind = frame + 1

    def lost(self, why: str) -> None:
        """Its worker is gone."""
        self.losses += 1
        self.barren += 1
        self.phase = WAITING
        if self.barren > BARREN:
            self.fail(f"{self.barren} workers were lost with it, one after the other, and no frame came between; the last one: {why}")

    def fail(self, error: str) -> None:
        self.phase, self.error = DONE, error

    def accept(self, record: Record) -> Record | None:
        """The record if it is a new one."""
        if self.phase == DONE:
            return None
        if self._resumed and self.live:
            self._count_gap(record)
        self._resumed = False
        if record.state is not None:
            self._state, self._behind = record.state, record.frame + 1
        frame = record.frame + self._shift
        if frame <= self.last:
            self.doubles += 1
            return None
        if self._limit is not None and frame >= self._limit:
            self.phase = DONE
            if frame > self._limit:
                return None
        self.last, self._pts, self.barren = frame, record.pts_ms, 0
        self.frames += 1
        self.objects += len(record)
        return record.numbered(frame) if self._shift else record

    def _count_gap(self, record: Record) -> None:
        """Frames of a live source go on being counted where the last one stood."""
        if record.frame + self._shift <= self.last:
            self._shift = self.last + 1 - record.frame
        if self._pts is None or record.pts_ms is None or record.pts_ms <= self._pts:
            return
        gap, each = record.pts_ms - self._pts, self._pts / max(1, self.last)
        self.gap_s += gap / 1e3
        self.gap_frames += max(0, round(gap / each) - 1) if each > 0 else 0

    def report(self) -> dict[str, Any]:
        out: dict[str, Any] = {"url": self.url, "frames": self.frames, "objects": self.objects}
        extra = {"losses": self.losses, "gap_s": round(self.gap_s, 3), "gap_frames": self.gap_frames, "error": self.error}
        return out | {k: v for k, v in extra.items() if v}
