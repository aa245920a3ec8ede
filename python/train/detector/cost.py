# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What networks cost beside one another: python3 cost.py yolox_nano_dyn.xml MODEL [MODEL...]

One picture of noise at --size on one thread of the CPU, in turns, so that what else the machine does hits all alike. Processor time, its median and least
over --rounds, and the ratio to the first one's."""
import argparse
import pathlib
import statistics
import time

import numpy as np


def request(path, size):
    import openvino
    core = openvino.Core()
    net = core.read_model(path)
    net.reshape([1, 3, size, size])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    return core.compile_model(net, "CPU", options).create_infer_request()


def race(requests, size, rounds):
    """Seconds of each round, network by network."""
    x, times = np.random.default_rng(1).random((1, 3, size, size), np.float32), [[] for _ in requests]
    for request in requests:
        request.infer([x])
    for _ in range(rounds):
        for request, mine in zip(requests, times):
            begin = time.process_time()
            request.infer([x])
            mine.append(time.process_time() - begin)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    times = race([request(path, args.size) for path in args.models], args.size, args.rounds)
    first = (statistics.median(times[0]), min(times[0]))
    for path, mine in zip(args.models, times):
        middle, least = statistics.median(mine), min(mine)
        print(f"{path.name:28} median {1000 * middle:6.2f} ms ({middle / first[0]:.2f}), least {1000 * least:6.2f} ms ({least / first[1]:.2f})")


if __name__ == "__main__":
    main()
