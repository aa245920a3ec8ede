# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Workers that answer with what they were given, so that the driver's own work can be measured with more workers than the machine could run: the
driver is framemill.ray's, and its calls and the answers go through Ray as always, but one actor plays all workers."""

import os
import time

from framemill.ray import pool
from framemill.ray.worker import Hello, Load, Taken


class Actor:
    """Plays all workers: `records` of each answer, numbered on for each stream."""

    def __init__(self, template, records):
        self.template, self.records = template, records
        self.streams, self.next = {}, {}

    def hello(self, worker):
        self.streams[worker] = []
        return Hello("canned", "0" * 56, os.getpid(), None, "")

    def add(self, worker, stream):
        self.streams[worker].append(stream["name"])
        return None

    def remove(self, worker, name):
        self.streams[worker].remove(name)

    def take(self, worker, most, wait_ms):
        names, records = self.streams[worker], []
        for i in range(min(most, self.records) if names else 0):
            name = names[i % len(names)]
            frame = self.next[name] = self.next.get(name, -1) + 1
            records.append((name, frame, *self.template[2:]))
        return Taken(records, [], {}, Load(0.05, 0.05, len(records), 0, 0, 1 << 27))


class _Method:
    def __init__(self, method, worker):
        self.method, self.worker = method, worker

    def remote(self, *args):
        return self.method.remote(self.worker, *args)


class _Handle:
    """What the driver takes for the handle of an actor of its own."""

    def __init__(self, actor, worker):
        for name in ("hello", "add", "remove", "take"):
            setattr(self, name, _Method(getattr(actor, name), worker))


def pool_of(actor):
    """The class that makes such workers, in place of framemill.ray's own."""

    class Pool(pool.Pool):
        answered = 0

        def __init__(self, *args):
            super().__init__(*args)
            self._made = self

        def remote(self, *_):
            """In place of an actor of its own."""
            return _Handle(actor, self.count)

        def drop(self, post):
            self.posts.remove(post)

        def answers(self, wait_s):
            came = super().answers(wait_s)
            self.answered += len(came)
            return came

    return Pool


class Spent:
    """Processor seconds of this thread and of this process, and the driver's counts, while it is open."""

    def __init__(self, manager):
        self.manager, self.steps, self.records = manager, 0, 0

    def _now(self):
        return time.thread_time(), time.process_time(), self.manager._pool.answered

    def __enter__(self):
        step = self.manager._step

        def counted(wait_s):
            self.steps += 1
            step(wait_s)

        self.manager._step, self.begin = counted, self._now()
        return self

    def __exit__(self, *_):
        self.thread_s, self.process_s, self.answers = (b - a for a, b in zip(self.begin, self._now()))
        del self.manager._step
