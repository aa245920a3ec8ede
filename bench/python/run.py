#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the Python package costs, in turns in one run, each turn a process of its own:
- process_batch of numpy frames, over the network alone (bench/floor.c) with the same batch and slots;
- the iterator of VideoStreamManager over several streams of a video, against `framemill run` with the same settings, both from the
  start of their threads to the end.
What the interpreter's thread itself used of the processor is told too: that does not wander with the machine's other work.

    .deps/python/bin/python3 bench/python/run.py build VIDEO [--rounds 5] [--frames 200]
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DETECTOR = "yolox-nano"


def child_batches(args):
    import cv2
    import framemill
    cap = cv2.VideoCapture(args.video)
    frames = [cap.read()[1] for _ in range(args.batch_frames)]
    processor = framemill.ImageProcessor(detector=DETECTOR, batch_size=args.batch or "auto", num_workers=args.slots or "auto")
    for _ in range(3):
        processor.process_batch(frames)
    calls = max(1, args.frames // args.batch_frames)
    begin, own = time.perf_counter(), time.thread_time()
    for _ in range(calls):
        processor.process_batch(frames)
    n = calls * args.batch_frames
    return (time.perf_counter() - begin) / n, (time.thread_time() - own) / n


def child_iterator(args):
    import framemill
    manager = framemill.VideoStreamManager([args.video] * args.streams, detector=DETECTOR, frames=args.frames,
                                           batch_size=args.batch or "auto", num_workers=args.slots or "auto")
    manager.start()
    seen, objects, own = 0, 0, time.thread_time()
    for result in manager:
        seen += 1
        objects += len(result.boxes)
    assert seen == args.frames * args.streams, seen
    return manager.report()["seconds"] / seen, (time.thread_time() - own) / seen


def command(args):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "report.json")
        more = [*(["--batch", str(args.batch)] if args.batch else []), *(["--workers", str(args.slots)] if args.slots else [])]
        subprocess.run([args.build / "cli/framemill", "run", *[args.video] * args.streams, "--detector", DETECTOR, "--frames", str(args.frames),
                        "--report", report, "--quiet", *more], check=True, stdout=subprocess.DEVNULL)
        got = json.loads(report.read_text())
    return got["seconds"] / got["frames"]


def network(args):
    from framemill import models
    more = ["--batch", str(args.batch or 0), "--slots", str(args.slots or 0), "--frames", str(args.frames)]
    out = subprocess.run([args.build / "bench/bench_floor", "--share", models.share_dir(), "--models", models.models_dir(), "--cache",
                          models.cache_dir(), "--model", DETECTOR, *more, args.video], check=True, capture_output=True, text=True).stdout
    got = json.loads(out.splitlines()[-1])
    return got["infer_s"] / got["frames"]


def child(what, args):
    argv = [sys.executable, __file__, str(args.build), args.video, "--child", what, "--frames", str(args.frames), "--batch", str(args.batch),
            "--slots", str(args.slots), "--streams", str(args.streams), "--batch-frames", str(args.batch_frames)]
    return tuple(float(x) for x in subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("video")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--frames", type=int, default=200)
    p.add_argument("--streams", type=int, default=4)
    p.add_argument("--batch", type=int, default=0)
    p.add_argument("--slots", type=int, default=0)
    p.add_argument("--batch-frames", type=int, default=16)
    p.add_argument("--child", choices=("batches", "iterator"))
    args = p.parse_args()
    args.build = args.build.resolve()
    if args.child:
        print(*(child_batches(args) if args.child == "batches" else child_iterator(args)))
        return
    subprocess.run(["ninja", "-C", args.build, "bench/bench_floor", "cli/framemill", "src/libframemill.so.0", "tests/python/_framemill_abi.py"],
                   check=True, capture_output=True)
    os.environ.setdefault("FRAMEMILL_LIBRARY", str(args.build / "src/libframemill.so.0"))
    os.environ["PYTHONPATH"] = f"{ROOT / 'python'}:{args.build / 'tests/python'}"
    sys.path[:0] = os.environ["PYTHONPATH"].split(":")
    turns = {"network alone": network, "process_batch": lambda a: child("batches", a), "framemill run": command,
             "iterator": lambda a: child("iterator", a)}
    times, own = {name: [] for name in turns}, {name: [] for name in turns}
    for _ in range(args.rounds):
        for name, turn in turns.items():
            got = turn(args)
            wall, python = got if isinstance(got, tuple) else (got, 0)
            times[name].append(wall)
            own[name].append(python)
    for name, base in (("process_batch", "network alone"), ("iterator", "framemill run")):
        ratios = [a / b for a, b in zip(times[name], times[base])]
        print(f"{name}: {1e3 * statistics.median(times[name]):.2f} ms a frame, {base} {1e3 * statistics.median(times[base]):.2f}; ratio "
              f"median {statistics.median(ratios):.3f}, best against best {min(times[name]) / min(times[base]):.3f}, "
              f"rounds {' '.join(f'{r:.3f}' for r in ratios)}; Python's own thread {1e6 * statistics.median(own[name]):.0f} us of processor a "
              f"frame, {statistics.median(own[name]) / min(times[base]):.4f} of the best {base}")


if __name__ == "__main__":
    main()
