# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Decisions, from numbers alone: where a stream goes, which one moves, how many workers there should be. The study of
docs/scaling.md asks the same functions."""
from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

GAP = 0.2  # of a worker's processors, the least difference that a stream moves for


class Place(NamedTuple):
    """A worker, as it was measured."""
    streams: int                 # on it now
    room: int                    # for so many at a time
    busy: float                  # of its processors, 0..1; of nothing measured: 0
    unmeasured: int              # streams that came since
    behind: bool                 # its live streams lost frames, or their queues are half full


def load_of(place: Place, cost: float) -> float:
    """With what streams that came since it was measured will cost."""
    return place.busy + place.unmeasured * cost


def mean_cost(places: Sequence[Place]) -> float:
    """Of a stream, in a worker's processors, as far as it was measured."""
    measured = [(p.busy, p.streams - p.unmeasured) for p in places if p.streams > p.unmeasured]
    streams = sum(n for _, n in measured)
    return max(sum(b for b, _ in measured) / streams, 1e-3) if streams else 1.0


def least_loaded(places: Sequence[Place]) -> int | None:
    """Where the next stream goes; None: nowhere is room. Of equals the one with fewer streams."""
    free = [i for i, p in enumerate(places) if p.streams < p.room]
    cost = mean_cost(places)
    # Files take all there is on any worker that has one: between those the count decides.
    return min(free, key=lambda i: (round(min(load_of(places[i], cost), 1.0), 1), places[i].streams, i)) if free else None


def idle_one(places: Sequence[Place]) -> tuple[int, int] | None:
    """(from, to) where one worker has nothing to do and another has two streams and more."""
    most = max(range(len(places)), key=lambda i: places[i].streams, default=None)
    none = next((i for i, p in enumerate(places) if p.streams == 0), None)
    return (most, none) if most is not None and none is not None and places[most].streams > 1 else None


def hot_one(places: Sequence[Place], costs: Sequence[Mapping[str, float]]) -> tuple[str, int, int] | None:
    """(stream, from, to) where a worker cannot keep up and another one would after the move: the stream whose cost comes closest
    to half the difference."""
    behind = [i for i, p in enumerate(places) if p.behind and p.streams > 1]
    if not behind:
        return None
    hot = max(behind, key=lambda i: places[i].busy)
    cool = min((i for i, p in enumerate(places) if i != hot and not p.behind and p.streams < p.room), key=lambda i: places[i].busy,
               default=None)
    if cool is None or places[hot].busy - places[cool].busy < GAP or not costs[hot]:
        return None
    half = (places[hot].busy - places[cool].busy) / 2
    name = min(costs[hot], key=lambda n: (abs(costs[hot][n] - half), n))
    return (name, hot, cool) if costs[hot][name] < places[hot].busy - places[cool].busy else None


def wanted(now: int, least: int, most: int, waiting: int, behind: int, idle: int) -> int:
    """How many workers there should be: one more while streams find no place or frames are lost, one less for each that has had
    nothing to do for long. Never both."""
    if waiting or behind:
        return min(most, now + 1)
    return max(least, now - idle)
