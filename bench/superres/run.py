#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Networks that make luma twice as large: python3 bench/superres/run.py BUILD_DIR FSRCNN_x2.pb [--size 640x360] [--threads 1] [--passes 20].

Ours and FSRCNN in OpenVINO on the whole picture, both in OpenCV's DNN module where it reads them, and ours in framemill's tiles. They take turns, and the least time of
each counts: the processor's on one thread, else the clock's. Run it with the Python of bench/requirements.txt (.deps/bench); opencv-contrib's dnn_superres, which wraps that DNN module, is not among them.
"""

import argparse
import pathlib
import subprocess
import time

import cv2
import numpy as np
import openvino

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "share" / "framemill" / "weights" / "superres-x2.onnx"
TILES = ((128, 128), (256, 256), (336, 196))  # the last one is its description's


def in_openvino(path, shape, threads):
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(shape)
    net = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads})
    x = np.random.default_rng(1).random(shape, np.float32)
    return lambda: net(x)


def in_opencv(path, width, height):
    read = cv2.dnn.readNetFromONNX if path.suffix == ".onnx" else cv2.dnn.readNetFromTensorflow
    x = np.random.default_rng(1).random((1, 1, height, width), np.float32)
    net = read(str(path))

    def run():
        net.setInput(x)
        return net.forward()

    run()
    return run


def ms_of(run, clock):
    start = clock()
    run()
    return 1000 * (clock() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("fsrcnn", type=pathlib.Path)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=20)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    cv2.setNumThreads(args.threads)
    runs = {"FSRCNN, OpenVINO": in_openvino(args.fsrcnn, [1, height, width, 1], args.threads),
            "superres-x2, OpenVINO": in_openvino(OURS, [1, 1, height, width], args.threads)}
    for name, path in (("FSRCNN, OpenCV DNN", args.fsrcnn), ("superres-x2, OpenCV DNN", OURS)):
        try:
            runs[name] = in_opencv(path, width, height)
        except cv2.error as e:
            print(f"{name}: not read ({str(e).splitlines()[0][:100]})")
    clock = time.process_time if args.threads == 1 else time.perf_counter
    times = {name: [] for name in runs}
    bench = args.build / "bench" / "superres" / "superres_bench"
    for _ in range(args.passes):
        for name, run in runs.items():
            times[name].append(ms_of(run, clock))
    for tile in TILES:
        name = f"superres-x2, framemill, tiles {tile[0]}x{tile[1]}"
        out = subprocess.run([bench, OURS, str(width), str(height), *map(str, tile), "8", str(args.threads), str(args.passes)], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        times[name] = [float(out)]
    base = min(times["FSRCNN, OpenVINO"])
    print(f"{width}x{height} -> {2 * width}x{2 * height}, threads: {args.threads}")
    for name, ms in times.items():
        print(f"{name:40} {min(ms):8.1f} ms {base / min(ms):6.2f} x FSRCNN's speed")


if __name__ == "__main__":
    main()
