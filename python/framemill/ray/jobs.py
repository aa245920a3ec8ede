# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Actors that take jobs one after the other. An actor that is lost is replaced, and its job begins anew elsewhere."""
from __future__ import annotations

import collections
from typing import Any, Callable, Generic, Iterable, Iterator, TypeVar

from ..errors import FramemillError, InvalidArgument
from ._cluster import log, need_ray, reason
from .pool import why

Job = TypeVar("Job")

TICK_S = 0.5


def room(num_cpus: float, num_gpus: float) -> int:
    """How many actors of this size the cluster has room for."""
    wanted = {k: v for k, v in (("CPU", num_cpus), ("GPU", num_gpus)) if v}
    nodes = [n["Resources"] for n in need_ray().nodes() if n["Alive"]]
    fit = sum(min(int(have.get(k, 0) // v) for k, v in wanted.items()) for have in nodes)
    if not fit:
        raise InvalidArgument(f"no machine of the cluster has {num_cpus:g} CPUs and {num_gpus:g} GPUs, as num_cpus and num_gpus ask for", "INVAL")
    return fit


def _own(e: Any) -> FramemillError:
    """What an actor raised, without Ray's account of the way it took."""
    cause = e.cause
    if isinstance(cause, FramemillError):
        return cause
    said = why(e) if isinstance(cause, ImportError) else f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
    return FramemillError(f"a worker failed: {said}", "INTERNAL")


class Lost:
    """In place of a job's outcome: as often as was allowed, the actor that worked on it was lost."""

    def __init__(self, why: str) -> None:
        self.why = why


class _Slot(Generic[Job]):
    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.ref: Any = actor.start.remote()
        self.started = False
        self.job: Job | None = None


class JobPool(Generic[Job]):
    """`make` makes an actor; its method `start` is called once, then it gets jobs by `give(actor, job)`, a call each. One job is with
    an actor at a time, so that it is known which job an actor was lost with."""

    def __init__(self, make: Callable[[], Any], give: Callable[[Any, Job], Any], size: int, retries: int) -> None:
        self._ray, self._make, self._give, self._retries = need_ray(), make, give, retries
        self._again, self._tries = collections.deque[Job](), collections.Counter[int]()
        self._failed_starts = 0
        self._slots = [_Slot[Job](make()) for _ in range(size)]

    def run(self, jobs: Iterable[Job], tick: Callable[[], None]) -> Iterator[tuple[Job, Any]]:
        """Outcomes as they come; `tick` is called twice a second. What an actor raises itself ends it all."""
        rest = iter(jobs)
        while self._again or any(s.job is not None for s in self._slots) or self._more(rest):
            waited = {s.ref: s for s in self._slots if s.job is not None or not s.started}
            ready, _ = self._ray.wait(list(waited), num_returns=1, timeout=TICK_S)
            outcomes = [o for ref in ready for o in self._take(waited[ref])]
            self._hand_out(rest)  # before anybody looks at the outcomes: nobody is to wait for that
            yield from outcomes
            tick()

    def _more(self, rest: Iterator[Job]) -> bool:
        """Are there jobs that nobody has had yet?"""
        job = next(rest, None)
        if job is not None:
            self._again.append(job)
        return job is not None

    def _hand_out(self, rest: Iterator[Job]) -> None:
        for slot in self._slots:
            if slot.started and slot.job is None:
                slot.job = self._again.popleft() if self._again else next(rest, None)
                if slot.job is not None:
                    slot.ref = self._give(slot.actor, slot.job)

    def _take(self, slot: _Slot[Job]) -> list[tuple[Job, Any]]:
        try:
            outcome = self._ray.get(slot.ref)
        except self._ray.exceptions.RayTaskError as e:
            raise _own(e) from e
        except self._ray.exceptions.RayError as e:
            return self._replace(slot, e)
        if slot.started:
            job, slot.job = slot.job, None
            assert job is not None
            self._tries.pop(id(job), None)
            return [(job, outcome)]
        slot.started, self._failed_starts = True, 0
        return []

    def _replace(self, slot: _Slot[Job], e: Exception) -> list[tuple[Job, Any]]:
        job, said = slot.job, reason(e)
        log.warning("a worker was lost: %s", said)
        self._kill(slot)
        if job is None:
            self._failed_starts += 1
            if self._failed_starts > self._retries:
                raise FramemillError(f"workers are lost before they have loaded their models: {said}", "INTERNAL") from e
        self._slots[self._slots.index(slot)] = _Slot(self._make())
        if job is None:
            return []
        self._tries[id(job)] += 1
        if self._tries[id(job)] <= self._retries:
            self._again.append(job)
            return []
        return [(job, Lost(f"its worker was lost {self._tries.pop(id(job))} times: {said}"))]

    def _kill(self, slot: _Slot[Job]) -> None:
        try:
            self._ray.kill(slot.actor)
        except self._ray.exceptions.RayError:
            pass  # it is gone

    def close(self) -> None:
        for slot in self._slots:
            self._kill(slot)
