#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The peer of framemill over Ray: the design in which pixels travel. The driver decodes (cv2.VideoCapture, a thread and a buffer of 30 frames a
stream), forms batches of 16 whole frames across the streams, in turn, and hands each to one of the actors (num_cpus=1) through Ray's object
store. An actor scales the frames with OpenCV, runs one OpenVINO inference over the batch, decodes YOLOX's grid with numpy and suppresses with
OpenCV. Two batches are under way for each actor, so that the next one is sent while one is computed; results are taken by ray.get in order.
--threads 0 leaves OpenVINO's threads as they come, all cores in each actor: that is what such programs do; N gives each actor N.
Prints one JSON object: frames, objects, seconds (from the first decoder's start to the last result; Ray, models and one inference an actor come
before) and, in `steady`, the rate and the processor time without the start and the end (steady.py), the driver's own apart."""

import argparse
import collections
import json
import os
import pathlib
import queue
import sys
import threading
import time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
HERE = str(pathlib.Path(__file__).resolve().parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))  # the actors import what lies beside this file

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import ray  # noqa: E402

import python_pipeline as plain  # noqa: E402
import steady  # noqa: E402

BATCH, BUFFER, UNDER_WAY = 16, 30, 2


class Detector:
    """Runs in an actor."""

    def __init__(self, path, threads, conf, iou):
        import openvino as ov

        model = ov.Core().read_model(path)
        model.reshape([BATCH, 3, plain.SIZE, plain.SIZE])
        if model.output(0).shape[0] != BATCH:
            raise ValueError(f"{path} does not take a batch of {BATCH}: batch 1 is baked in")
        hints = {"INFERENCE_PRECISION_HINT": "f32", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
        self.request = ov.Core().compile_model(model, "CPU", hints).create_infer_request()
        self.head, self.input = plain.Head(conf, iou), np.zeros((BATCH, 3, plain.SIZE, plain.SIZE), np.float32)
        self.request.infer({0: self.input})

    def ready(self):
        return True

    def process(self, frames):
        scales = []
        for i, frame in enumerate(frames):
            self.input[i], scale = plain.letterbox(frame)
            scales.append(scale)
        self.request.infer({0: self.input})
        out = self.request.get_output_tensor(0).data
        return [self.head(out[i], scale) for i, scale in enumerate(scales)]


def decode(path, limit, frames):
    video, n = cv2.VideoCapture(path), 0
    while n < limit:
        ok, frame = video.read()
        if not ok:
            break
        frames.put(frame)
        n += 1
    frames.put(None)


def batches(buffers):
    """(streams, frames) of BATCH frames, one of each stream in turn; the last has what is left."""
    running, owners, frames = dict(enumerate(buffers)), [], []
    while running:
        for number in list(running):
            frame = running[number].get()
            if frame is None:
                del running[number]
                continue
            owners.append(number)
            frames.append(frame)
            if len(frames) == BATCH:
                yield owners, frames
                owners, frames = [], []
    if frames:
        yield owners, frames


def run(actors, inputs, limit):
    watch, waiting, objects = steady.Steady(len(inputs), limit), collections.deque(), 0

    def collect():
        nonlocal objects
        owners, reference = waiting.popleft()
        for owner, found in zip(owners, ray.get(reference)):
            objects += len(found)
            watch.add(owner)

    buffers = [queue.Queue(BUFFER) for _ in inputs]
    start = time.monotonic()
    for path, buffer in zip(inputs, buffers):
        threading.Thread(target=decode, args=(path, limit, buffer), daemon=True).start()
    for i, (owners, frames) in enumerate(batches(buffers)):
        if len(waiting) == UNDER_WAY * len(actors):
            collect()
        waiting.append((owners, actors[i % len(actors)].process.remote(frames)))
    while waiting:
        collect()
    return {"frames": watch.total, "objects": objects, "seconds": time.monotonic() - start, "steady": watch.report()}


def pixel_bytes(path):
    ok, frame = cv2.VideoCapture(path).read()
    return frame.nbytes if ok else sys.exit(f"{path}: no frame")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inputs", nargs="+")
    p.add_argument("--model", required=True, help="an ONNX file or IR with a free batch")
    p.add_argument("--actors", type=int, default=1)
    p.add_argument("--threads", type=int, default=0, help="of OpenVINO, in each actor; 0: its default")
    p.add_argument("--frames", type=int, required=True, help="of each stream")
    p.add_argument("--conf", type=float, default=0.5)
    p.add_argument("--iou", type=float, default=0.45)
    a = p.parse_args()
    ray.init(address="local", num_cpus=max(a.actors, len(os.sched_getaffinity(0))), include_dashboard=False, log_to_driver=False,
             logging_level="WARNING")
    actors = [ray.remote(num_cpus=1)(Detector).remote(os.path.abspath(a.model), a.threads, a.conf, a.iou) for _ in range(a.actors)]
    ray.get([actor.ready.remote() for actor in actors])
    print(json.dumps({**run(actors, a.inputs, a.frames), "actors": a.actors, "threads": a.threads, "pixel_bytes": pixel_bytes(a.inputs[0]),
                      "ray": ray.__version__, "opencv": cv2.__version__}))
    ray.shutdown()


if __name__ == "__main__":
    main()
