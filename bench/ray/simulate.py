# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""A cluster of any size, from costs that were measured on one machine.

framemill: discrete events. A worker (one a node) makes records of its streams in turn at the measured rate, into a bounded buffer, and stands still
when that is full. The driver has one `take` open at each worker; it is answered when it is full, or with what has come in a while. Answers share the
driver's network link, first come first served. The driver's one thread works in steps, as framemill.ray does: a step takes all answers that have
come; it costs something by itself, something for each worker there is, for each answer and for each record. Nodes are lost at random; streams of a lost
node are placed by framemill.ray's own rules (placing.py) and go on from their last checkpoint, and what had been delivered before is not
delivered twice.
The original's design: the driver prepares batches of pixels one after the other and sends them round robin, two under way for each node; a
recurrence over batches (when the driver, the link and the node are free) needs no events. Its nodes are not lost.
start_up() is apart: when each worker has its streams, without records."""

import collections
import dataclasses
import heapq
import importlib.util
import itertools
import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parents[2]
TICK_S = 0.5  # between two looks of the driver at who has how much to do
PIXEL_BATCH, PIXELS_UNDER_WAY = 16, 2


def _placing():
    """The rules alone: importing the package would need the library."""
    spec = importlib.util.spec_from_file_location("framemill_ray_placing", ROOT / "python/framemill/ray/placing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


placing = _placing()


@dataclasses.dataclass(frozen=True)
class Costs:
    """Seconds, bytes and frames a second. The first part is measured, the second chosen."""

    node_fps: float                  # one node, all its cores
    driver_step_s: float             # of the driver, for each step
    driver_worker_s: float           # for each step and each worker that there is
    driver_take_s: float             # for each answer
    driver_record_s: float           # for each record
    driver_start_s: float            # for each worker that is started
    driver_place_s: float            # for each stream that is placed and each worker that it could go to
    record_bytes: float
    start_s: float                   # from asking for a worker to its first answer: process and models
    recovery_s: float                # from the death of a worker to the first record of a stream that moved
    move_s: float                    # from the decision to move a stream to its first record elsewhere
    pixels_node_fps: float           # of an actor of the original's design on one node
    pixels_driver_s: float           # of the driver, for each frame, where cores do not help
    pixels_driver_cpu_s: float       # of the driver, for each frame, all threads
    pixel_bytes: float               # of a frame

    streams_per_node: int = 4
    room: int = 8                    # streams that a worker takes at most
    take_most: int = 256             # records that an answer brings at most
    take_wait_s: float = 0.25        # in which they come together
    buffer: int = 288                # records that a worker keeps, those that come together for an answer too
    checkpoint_every: int = 25       # frames
    bytes_per_s: float = 1.25e9      # the driver's link
    latency_s: float = 100e-6        # one way
    detect_s: float = 60.0           # until a node that fell silent is given up
    node_mtbf_s: float = 0.0         # mean time between losses, of one node; 0: never
    driver_cores: int = 2

    @staticmethod
    def load(path):
        given = json.loads(pathlib.Path(path).read_text())
        return Costs(**given["measured"], **given["chosen"])


class Worker:
    """A node at work. `streams`: [stream, next frame]."""

    def __init__(self, now, costs):
        self.streams, self.costs = [], costs
        self.last, self.credit, self.ready, self.cursor = now, 0.0, 0, 0

    def advance(self, now):
        """Records made until now. One more than the buffer holds is finished and waits for room."""
        if self.streams:
            self.credit += (now - self.last) * self.costs.node_fps
        self.last = now
        made = min(int(self.credit + 1e-6), self.costs.buffer - self.ready)
        self.ready += made
        self.credit = min(max(self.credit - made, 0.0), 1.0)

    def full_s(self):
        """When an answer is full."""
        missing = min(self.costs.take_most, self.costs.buffer) - self.ready
        if missing <= 0:
            return self.last
        return self.last + (missing - self.credit) / self.costs.node_fps if self.streams else float("inf")

    def add(self, now, stream, first):
        self.advance(now)
        self.streams.append([stream, first])

    def remove(self, now, stream):
        self.advance(now)
        self.streams = [s for s in self.streams if s[0] != stream]
        self.cursor = 0

    def take(self):
        """[(stream, first frame, frames)], oldest records first."""
        n, count = min(self.ready, self.costs.take_most), len(self.streams)
        self.ready -= n
        out = []
        for at, s in enumerate(self.streams):
            more = n // count + ((at - self.cursor) % count < n % count)
            if more:
                out.append((s[0], s[1], more))
                s[1] += more
        self.cursor = (self.cursor + n) % max(1, count)
        return out


class Cluster:
    """framemill's design, from the moment at which all workers have their streams."""

    def __init__(self, costs, nodes, seed=0, keep=False):
        self.costs, self.nodes, self.random = costs, nodes, random.Random(seed)
        self.events, self.order = [], itertools.count()
        self.workers, self.life = [None] * nodes, [0] * nodes
        self.delivered = [0] * (nodes * costs.streams_per_node)
        self.placed = [set() for _ in range(nodes)]    # as the driver knows it
        self.log = [[] for _ in self.delivered] if keep else None
        self.waiting, self.inbox, self.stepping = collections.deque(), [], False
        self.moving, self.tending = None, False
        self.link_free = self.driver_free = self.busy_s = 0.0
        self.losses = self.repeats = self.takes = self.counted = 0
        self.begin = self.end = float("inf")

    def at(self, when, what, node=None, *more):
        """Something that happens later; to a node, only if it is not lost before."""
        heapq.heappush(self.events, (when, next(self.order), what, node, self.life[node] if node is not None else 0, more))

    def run(self, seconds):
        per = self.costs.streams_per_node
        for node in range(self.nodes):
            now = self.random.random() / self.costs.node_fps
            self.placed[node] = set(range(node * per, (node + 1) * per))
            self.join(now, node)
            for stream in sorted(self.placed[node]):
                self.workers[node].add(now, stream, 0)
        self.begin = 2 * self.costs.buffer / self.costs.node_fps   # buffers that fill are full
        self.end = self.begin + seconds
        while self.events and self.events[0][0] <= self.end:
            when, _, what, node, life, more = heapq.heappop(self.events)
            if node is None or life == self.life[node]:
                what(when, *(() if node is None else (node,)), *more)
        return {"fps": self.counted / seconds, "load": self.busy_s / seconds, "records_a_take": self.counted / max(1, self.takes),
                "losses": self.losses, "repeats": self.repeats}

    def join(self, now, node):
        """A worker is there, and is asked for records."""
        self.workers[node] = Worker(now, self.costs)
        self.at(now + self.costs.latency_s, self.request, node)
        if self.costs.node_mtbf_s:
            self.at(now + self.random.expovariate(1 / self.costs.node_mtbf_s), self.lose, node)
        if not self.placed[node] and not self.tending:
            self.tending = True
            self.at(now, self.tend)

    def drive(self, now, seconds):
        """The driver's thread does something that takes so long; when it is done."""
        begin = max(now, self.driver_free)
        self.driver_free = begin + seconds
        self.busy_s += max(0.0, min(self.driver_free, self.end) - max(begin, self.begin))
        return self.driver_free

    # A take's way.

    def request(self, now, node):
        worker = self.workers[node]
        worker.advance(now)
        self.at(min(worker.full_s(), now + self.costs.take_wait_s), self.answer, node)

    def answer(self, now, node):
        worker = self.workers[node]
        worker.advance(now)
        records = worker.take()
        count = sum(n for _, _, n in records)
        self.link_free = max(now, self.link_free) + count * self.costs.record_bytes / self.costs.bytes_per_s
        self.at(self.link_free + self.costs.latency_s, self.arrive, node, records, count)

    def arrive(self, now, node, records, count):
        self.inbox.append((node, self.life[node], records, count))
        if not self.stepping:
            self.stepping = True
            self.at(max(now, self.driver_free), self.step)

    def step(self, now):
        came, self.inbox = self.inbox, []
        self.drive(now, self.costs.driver_step_s + self.nodes * self.costs.driver_worker_s)
        for node, life, records, count in came:
            done = self.drive(now, self.costs.driver_take_s + count * self.costs.driver_record_s)
            fresh = sum(self.deliver(*r) for r in records)
            self.repeats += count - fresh
            if self.begin < done <= self.end:
                self.takes += 1
                self.counted += fresh
            if life == self.life[node]:
                self.at(done + self.costs.latency_s, self.request, node)
        self.stepping = False
        if self.waiting:
            self.place(self.driver_free)
        self.at(self.driver_free, self.again)

    def again(self, now):
        if self.inbox and not self.stepping:
            self.stepping = True
            self.at(max(now, self.driver_free), self.step)

    def deliver(self, stream, first, count):
        """How many of these frames had not been delivered."""
        begin = max(first, self.delivered[stream])
        if self.log is not None:
            self.log[stream].extend(range(begin, first + count))
        fresh = max(0, first + count - begin)
        self.delivered[stream] += fresh
        return fresh

    # Losses and moves.

    def lose(self, now, node):
        """All that the node held and sent and that has not arrived is gone."""
        self.life[node] += 1
        self.losses += 1
        self.workers[node] = None
        self.at(now + self.costs.detect_s, self.notice, node)

    def notice(self, now, node):
        """The driver gives it up: its streams wait for a place, and another worker is asked for."""
        if self.moving in self.placed[node]:
            self.moving = None
        self.waiting.extend(sorted(self.placed[node]))
        self.placed[node] = set()
        placed = self.drive(now, self.costs.driver_start_s)
        self.at(placed + self.costs.start_s, self.join, node)
        self.place(placed)

    def places(self):
        known = [i for i, w in enumerate(self.workers) if w]
        return known, [placing.Place(len(self.placed[i]), self.costs.room, float(bool(self.placed[i])), 0, False) for i in known]

    def place(self, now):
        while self.waiting:
            known, places = self.places()
            at = placing.least_loaded(places)
            if at is None:
                return
            stream = self.waiting.popleft()
            self.placed[known[at]].add(stream)
            placed = self.drive(now, len(known) * self.costs.driver_place_s + self.costs.driver_take_s)
            self.at(placed + (self.costs.move_s if stream == self.moving else self.costs.recovery_s), self.go_on, known[at], stream)

    def go_on(self, now, node, stream):
        every = self.costs.checkpoint_every
        self.workers[node].add(now, stream, self.delivered[stream] // every * every)
        if stream == self.moving:
            self.moving = None

    def tend(self, now):
        """A worker without streams gets one from the fullest, one at a time."""
        known, places = self.places()
        pair = placing.idle_one(places) if self.moving is None and not self.waiting else None
        if pair:
            node = known[pair[0]]
            running = [s for s, _ in self.workers[node].streams]
            if len(running) > 1:
                self.moving = running[0]
                self.workers[node].remove(now, self.moving)
                self.placed[node].discard(self.moving)
                self.waiting.append(self.moving)
                self.place(now)
        self.tending = any(p.streams == 0 for p in places) and max(p.streams for p in places) > 1
        if self.tending:
            self.at(now + TICK_S, self.tend)


def pixels_fps(costs, nodes, batches=None):
    """The original's design: frames a second in the steady state."""
    under_way = PIXELS_UNDER_WAY * nodes
    batches = batches or 40 * under_way
    prepare = PIXEL_BATCH * max(costs.pixels_driver_s, costs.pixels_driver_cpu_s / costs.driver_cores)
    send, compute = PIXEL_BATCH * costs.pixel_bytes / costs.bytes_per_s, PIXEL_BATCH / costs.pixels_node_fps
    driver = link = 0.0
    free, done = [0.0] * nodes, []
    for i in range(batches):
        driver = max(driver, done[i - under_way] + costs.latency_s if i >= under_way else 0.0) + prepare
        link = max(driver, link) + send
        free[i % nodes] = max(link + costs.latency_s, free[i % nodes]) + compute
        done.append(max(free[i % nodes], done[-1] if done else 0.0))  # results are taken in order
    half = batches // 2
    return PIXEL_BATCH * (batches - half) / (done[-1] - done[half - 1])


def driver_limit(costs):
    """Records a second that the driver's thread can take where all workers' answers are full."""
    return 1 / (costs.driver_record_s + (costs.driver_take_s + costs.driver_worker_s) / costs.take_most)


def kept(costs):
    """Of the frames of nodes that are never lost: a node gives nothing until its loss is known, another worker has started and a stream has
    moved there, and of each stream half a checkpoint is made again."""
    again_s = (costs.streams_per_node + 1) * costs.checkpoint_every / 2 / costs.node_fps
    return (costs.node_mtbf_s - again_s) / (costs.node_mtbf_s + costs.detect_s + costs.start_s + costs.move_s)


def spread(costs, nodes, drivers, seconds):
    """As many drivers, each with its share of the nodes and a link of its own."""
    return sum(Cluster(costs, nodes // drivers + (i < nodes % drivers), seed=i).run(seconds)["fps"] for i in range(min(nodes, drivers)))


def start_up(costs, nodes):
    """Seconds until each worker has its part of the streams. A worker gets it when it answers; each stream is weighed against all that have
    answered."""
    now = 0.0
    for node in range(nodes):
        now = max(now, (node + 1) * costs.driver_start_s + costs.start_s)
        now += costs.streams_per_node * (costs.driver_take_s + (node + 1) * costs.driver_place_s)
    return now
