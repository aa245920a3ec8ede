#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The peers of bench/models.c: ONNX Runtime or OpenCV's dnn on one ONNX file, on the CPU, f32, warm, input ready as floats. ms: one batch that
has all cores to itself. images_s: the better of that, back to back, and one session of one thread a core side by side. Prints one JSON object;
{"error": ...} where the backend cannot run the file at that batch."""

import argparse
import json
import os
import threading
import time

import numpy as np
import onnxruntime as ort

CORES = len(os.sched_getaffinity(0))


class OnnxRuntime:
    version = ort.__version__

    def __init__(self, path, threads):
        o = ort.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads, o.log_severity_level = threads, 1, 3
        self.session = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def run(self, batch):
        return self.session.run(None, {self.name: batch})[0]


class OpenCv:
    def __init__(self, path, threads):
        import cv2

        OpenCv.version = cv2.__version__
        cv2.setNumThreads(threads)
        self.net = cv2.dnn.readNetFromONNX(path)

    def run(self, batch):
        self.net.setInput(batch)
        return self.net.forward()


def shape_of(path, batch):
    """Of the input: what is free is the batch. None where another batch is baked in."""
    o = ort.SessionOptions()
    o.log_severity_level = 3
    dims = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    return None if isinstance(dims[0], int) and dims[0] != batch else [batch, *dims[1:]]


def time_runs(networks, batch, seconds):
    """Seconds a run, of each network in a thread of its own."""
    counts = [0] * len(networks)
    for n in networks:
        n.run(batch)
        n.run(batch)
    begin = time.perf_counter()

    def work(i):
        while time.perf_counter() - begin < seconds:
            networks[i].run(batch)
            counts[i] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(networks))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return (time.perf_counter() - begin) / sum(counts)


def measure(make, path, batch, seconds):
    shape = shape_of(path, batch)
    if not shape:
        return {"error": "batch 1 is baked into the file"}
    data = np.random.default_rng(1).random(shape, np.float32)
    alone = time_runs([make(path, CORES)], data, seconds)
    side = time_runs([make(path, 1) for _ in range(CORES)], data, seconds)
    return {"batch": batch, "ms": 1e3 * alone, "images_s": batch / min(alone, side), "version": make.version}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--backend", choices=("onnxruntime", "opencv"), required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--seconds", type=float, default=2)
    a = p.parse_args()
    try:
        r = measure(OnnxRuntime if a.backend == "onnxruntime" else OpenCv, a.model, a.batch, a.seconds)
    except Exception as error:  # a network that the backend cannot run is a result, too
        r = {"error": "cannot run it: " + str(error).strip().splitlines()[-1][:100].replace("|", "/")}
    print(json.dumps(r))


if __name__ == "__main__":
    main()
