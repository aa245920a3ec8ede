#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What simulate.py needs to know, measured on this machine.

    .deps/bench/bin/python3 bench/ray/costs.py build vtest.avi --run bench/results/ray.json --json bench/results/ray_costs.json

ray.json is what run.py wrote: a node's rate, and the costs of the design that sends pixels. The rest is measured here, medians of --rounds.
The driver's costs are its thread's processor time in framemill.ray's own code over 1 to 400 workers whose answers are canned (canned.py), and the
least squares of step + worker x workers + answer x answers + record x records over all of them, none negative.
Needs the environment of `./bootstrap bench-deps`."""

import json
import os
import pathlib
import signal
import statistics
import sys
import time

import run

WORKERS, RECORDS, STREAMS = (1, 4, 20, 100, 400), (1, 8, 64), 4
SPAN_S = 2.0


def record_costs(a):
    """One worker in this process: what travels of a frame, and what the processors do for it."""
    from framemill.ray.worker import StreamWorker
    import ray

    worker = StreamWorker({"detector": run.DETECTOR, "threads": run.CORES, "checkpoint_every": 25}, 30, STREAMS)
    for i in range(STREAMS):
        worker.add({"url": a.video, "name": f"vtest-{i}"})
    records, sent, warm = [], 0, 64
    while len(records) < a.frames + warm:
        taken = worker.take(64, 50)
        if len(records) < warm <= len(records) + len(taken.records):
            begin, before = time.process_time(), len(records) + len(taken.records)
        sent += len(ray.cloudpickle.dumps(taken))
        records += taken.records
    cpu = time.process_time() - begin
    worker.stop(drain=False)
    return {"template": records[len(records) // 2], "record_bytes": sent / len(records),
            "worker_cpu_ms": 1e3 * cpu / (len(records) - before)}


def alone_cpu_ms(a):
    """Decoding and the network alone, of a frame."""
    got = run.floor(a)
    return 1e3 * got["cpu_s"] / got["frames"]


def checkpoint_bytes(a):
    """The largest state of 200 frames, by tracker."""
    import framemill

    out = {}
    for tracker in ("none", "bytetrack", "deepsort"):
        settings = {"detector": run.DETECTOR, "tracker": tracker, "frames": 200, "checkpoint_every": 25}
        with framemill.VideoStreamManager([a.video], **settings) as manager:
            out[tracker] = max(len(r.state) for r in manager if r.state)
    return out


def canned_manager(workers, records, template):
    """framemill.ray's driver over workers that answer at once."""
    import canned
    import ray
    from framemill.ray import streams

    actor = ray.remote(num_cpus=0)(canned.Actor).remote(template, records)
    streams.Pool = canned.pool_of(actor)
    return actor, streams.VideoStreamManager([{"url": "testsrc:64x48@25", "name": f"s{i}"} for i in range(workers * STREAMS)], workers=workers,
                                             streams_per_worker=STREAMS, detector="none")


def driver_row(workers, records, template):
    """What the driver's thread spent on so many workers that bring so many records an answer."""
    import canned
    import ray

    actor, manager = canned_manager(workers, records, template)
    with manager:
        manager.start()
        while any(len(p.flows) < STREAMS for p in manager._pool.posts):
            manager._step(0.1)
        manager._ready.clear()
        with canned.Spent(manager) as spent:
            until = time.monotonic() + SPAN_S
            while time.monotonic() < until:
                manager.next()
                spent.records += 1
    ray.kill(actor)
    return {"workers": workers, "steps": spent.steps, "answers": spent.answers, "records": spent.records, "thread_s": spent.thread_s,
            "process_s": spent.process_s}


def fit(rows):
    """Seconds of (step, worker, answer, record), and the largest part by which a row differs."""
    import numpy as np
    from scipy.optimize import nnls

    x = np.array([[r["steps"], r["steps"] * r["workers"], r["answers"], r["records"]] for r in rows], float)
    y = np.array([r["thread_s"] for r in rows])
    found, _ = nnls(x / y[:, None], np.ones(len(y)))
    return found.tolist(), float(np.abs(x @ found / y - 1).max())


def driver_costs(template):
    rows = [driver_row(w, k, template) for w in WORKERS for k in RECORDS]
    for r in rows:
        print(f"driver: {r}", file=sys.stderr, flush=True)
    (step, worker, take, record), off = fit(rows)
    return {"driver_step_s": step, "driver_worker_s": worker, "driver_take_s": take, "driver_record_s": record}, off, rows


def place_cost(template):
    """Seconds of the driver for each worker that a stream could go to, from the difference of many and few."""
    import ray

    each = {}
    for workers in (20, 400):
        actor, manager = canned_manager(workers, 1, template)
        with manager:
            manager.start()
            while len(manager._pool.ready()) < workers:
                waiting, manager._waiting = manager._waiting, type(manager._waiting)()
                manager._step(0.1)
                manager._waiting = waiting
            begin = time.thread_time()
            manager._place()
            each[workers] = (time.thread_time() - begin) / (workers * STREAMS)
        ray.kill(actor)
    return (each[400] - each[20]) / 380


def start_cost():
    """Seconds of the driver's thread to ask for a worker. It is asked for where there is no place for it."""
    from framemill.ray.pool import Pool

    pool = Pool({"detector": "none"}, 30, STREAMS, {"num_cpus": 1, "resources": {"nowhere": 1}})
    pool.start_one()  # the class travels once
    begin = time.thread_time()
    for _ in range(20):
        pool.start_one()
    spent = (time.thread_time() - begin) / 20
    pool.close()
    return spent


def real_manager(a, workers):
    from framemill.ray import streams
    from framemill.ray.pool import Pool

    streams.Pool = Pool
    return streams.VideoStreamManager([a.video] * STREAMS, workers=workers, num_cpus=max(1, run.CORES // workers), detector=run.DETECTOR)


def until(manager, wanted, longest_s=120):
    """Takes records until wanted(record) says so; when that was."""
    give_up = time.monotonic() + longest_s
    for record in manager:
        now = time.monotonic()
        if wanted(record):
            return now
        if now > give_up:
            raise RuntimeError(f"what was waited for did not come within {longest_s} s")
    raise RuntimeError("the streams ended before what was waited for came")


def start_s(a):
    """From asking for a worker to its first answer: a process of Ray's and the models. The cluster and the caches are warm."""
    with real_manager(a, 1) as manager:
        begin = time.monotonic()
        manager.start()
        while not manager._pool.ready():
            manager._step(0.01)
        return time.monotonic() - begin


def _settled(manager):
    """Both workers have streams, and each stream has given a checkpoint: what is moved or lost then can go on in the middle."""
    seen = set()

    def wanted(record):
        if record.state is not None:
            seen.add(record.stream)
        return len(seen) == STREAMS and all(w["streams"] for w in manager.workers) and all(f.phase == "running" for f in manager._flows.values())

    until(manager, wanted)


def _gone_on_s(manager, flows, happens):
    """From what happens to the first record of one of the streams behind what had been taken when it was placed again."""
    placed = {}

    def watch(flow, source):
        def placing():
            placed[flow.name] = flow.last
            return source()

        flow.source = placing

    for flow in flows:
        watch(flow, flow.source)
    begin = time.monotonic()
    happens()
    return until(manager, lambda record: record.frame > placed.get(record.stream, record.frame)) - begin


def recovery_s(a):
    """From kill -9 of one of two workers to the first record of a stream that it had."""
    with real_manager(a, 2) as manager:
        _settled(manager)
        post = manager._pool.posts[0]
        return _gone_on_s(manager, list(post.flows.values()), lambda: os.kill(post.hello.pid, signal.SIGKILL))


def move_s(a):
    """From the decision to move a stream to its first record behind the move."""
    with real_manager(a, 2) as manager:
        _settled(manager)
        post = manager._pool.posts[0]
        flow = next(iter(post.flows.values()))
        return _gone_on_s(manager, [flow], lambda: manager._move(post, flow))


def median(rounds, measure, *given):
    values = [measure(*given) for _ in range(rounds)]
    print(f"{measure.__name__}: {values}", file=sys.stderr, flush=True)
    return statistics.median(values)


def of_run(path):
    """A node's rate and the other design's costs, medians of run.py's rounds."""
    rounds = json.loads(path.read_text())["rounds"]

    def of(name, value):
        return statistics.median(value(r[name]) for r in rounds)

    return {"node_fps": of("ray 1", lambda r: r["fps"]), "pixels_node_fps": of("pixels 1", lambda r: r["fps"]),
            "pixels_driver_s": of("pixels 1", lambda r: r["thread_cpu_s"] / r["frames"]),
            "pixels_driver_cpu_s": of("pixels 1", lambda r: r["own_cpu_s"] / r["frames"]), "pixel_bytes": of("pixels 1", lambda r: r["pixel_bytes"])}


def main():
    p = run.arguments(__doc__)
    p.add_argument("--run", type=pathlib.Path, required=True, help="what run.py wrote with --json")
    a = p.parse_args()
    a.build = a.build.resolve()
    run.use_tree(a.build)
    where = run.machine()
    run.prepare(a.build)
    import framemill.ray

    framemill.ray.connect()
    record = record_costs(a)
    driver, off, rows = driver_costs(record["template"])
    measured = {**of_run(a.run), **driver, "driver_start_s": median(a.rounds, start_cost),
                "driver_place_s": median(a.rounds, place_cost, record["template"]), "record_bytes": record["record_bytes"],
                "start_s": median(a.rounds, start_s, a), "recovery_s": median(a.rounds, recovery_s, a), "move_s": median(a.rounds, move_s, a)}
    shown = {"worker_cpu_ms": record["worker_cpu_ms"], "alone_cpu_ms": alone_cpu_ms(a), "checkpoint_bytes": checkpoint_bytes(a), "fit_off": off,
             "driver_rows": rows}
    text = json.dumps({"machine": where, "command": run.shown_command("bench/ray/costs.py"), "measured": measured, "chosen": {}, "shown": shown},
                      indent=1)
    print(text)
    if a.json:
        a.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
