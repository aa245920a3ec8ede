# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The rate of something that runs, without its start and its end: frames from the moment at which every stream has given SKIP results to the one
at which a stream has given its last. Processor time of the same span is that of a process and all that descend from it."""

import os
import pathlib
import time

SKIP = 16  # results of each stream; loading, first buffers and first pages of memory lie before


def _stat(pid):
    """Parent and processor ticks of a process; None when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[11]) + int(fields[12])


def descendants(pid):
    """Processor ticks by process, of pid and of all below it that live."""
    stats = {int(p): s for p in os.listdir("/proc") if p.isdigit() and (s := _stat(p))}
    found, more = {}, [pid]
    while more:
        one = more.pop()
        if one in stats:
            found[one] = stats[one][1]
        more += [p for p, (parent, _) in stats.items() if parent == one]
    return found


def tree_cpu_s(pid):
    return sum(descendants(pid).values()) / os.sysconf("SC_CLK_TCK")


class Steady:
    """Told of each result by add(); report() when all are in. The clocks: wall, and the processor's for `pid` and below, this process, this thread."""

    def __init__(self, streams, frames, pid=None):
        if frames <= SKIP:
            raise ValueError(f"{frames} frames a stream; more than {SKIP} were expected")
        self.streams, self.limit, self.pid = streams, frames, pid or os.getpid()
        self.counts, self.frames, self.total = {}, 0, 0
        self.begin = self.end = None

    def _clocks(self):
        return {"seconds": time.perf_counter(), "cpu_s": tree_cpu_s(self.pid), "own_cpu_s": time.process_time(), "thread_cpu_s": time.thread_time()}

    def _all_began(self):
        return len(self.counts) == self.streams and min(self.counts.values()) >= SKIP

    def add(self, stream):
        n = self.counts[stream] = self.counts.get(stream, 0) + 1
        self.total += 1
        if self.begin is None:
            self.begin = self._clocks() if self._all_began() else None
        elif self.end is None:
            self.frames += 1
            self.end = self._clocks() if n == self.limit else None

    def report(self):
        if self.end is None:
            raise RuntimeError(f"no span to measure: {self.streams} streams of {self.limit} frames were expected, and {self.counts} came")
        spans = {k: self.end[k] - self.begin[k] for k in self.begin}
        return {"frames": self.frames, "total": self.total, "fps": self.frames / spans["seconds"], **spans}
