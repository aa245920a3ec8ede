#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Trackers against deep-sort-realtime in one run, one thread: python3 bench/track/run.py BUILD_DIR [FRAMES].

Both get the same recordings of synthetic people with 512-d features and galleries of 100, and compute the same tracks
(tests/reference/test_deepsort.py holds them to that). Median microseconds a frame over the second half, when galleries are full; the
least of three runs each. "x" is deep-sort-realtime's time over ours; the goal is 50. Then the bench of scenes beside its goals.
Run it with a Python that has deep-sort-realtime (tests/requirements.txt).
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "reference"))

import recording as rec  # noqa: E402

PASSES = 3
# tracker scenes: (objects, density, features): goal in microseconds
GOALS = {("10", "plain", "none"): 50, ("100", "plain", "none"): 1000, ("10", "plain", "full"): 150, ("100", "plain", "full"): 4000}


def median(values):
    return sorted(values)[len(values) // 2]


def peer(recording):
    from deep_sort_realtime.deepsort_tracker import DeepSort

    tracker = DeepSort(embedder=None, nn_budget=100)
    times = []
    for _, boxes, scores, classes, features in recording.frames:
        raw = [((b[0], b[1], b[2] - b[0], b[3] - b[1]), s, c) for b, s, c in zip(boxes, scores, classes)]
        embeds = list(features)
        start = time.perf_counter()
        tracker.update_tracks(raw, embeds=embeds)
        times.append((time.perf_counter() - start) * 1e6)
    return median(times[len(times) // 2 :])


def ours(build, path):
    line = subprocess.run([f"{build}/bench/track/track_bench", "replay", path], check=True, capture_output=True, text=True).stdout
    return float(line.split()[1])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, frames = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    print("people  deep-sort-realtime us  framemill us     x")
    with tempfile.TemporaryDirectory() as folder:
        for people in (7, 10, 30, 100):
            recording = rec.synthetic(people, people=people, frames=frames, dim=512, look_noise=0.02, size=(1920, 1080))
            path = f"{folder}/{people}"
            recording.write(path)
            theirs, mine = float("inf"), float("inf")
            for _ in range(PASSES if people < 100 else 1):
                mine = min(mine, ours(build, path))
                theirs = min(theirs, peer(recording))
            print(f"{people:>6} {theirs:>22.0f} {mine:>13.1f} {theirs / mine:>5.0f}", flush=True)
    table = subprocess.run([f"{build}/bench/track/track_bench", "scenes"], check=True, capture_output=True, text=True).stdout
    for line in table.splitlines():
        words = line.split()
        goal = GOALS.get(tuple(words[2:5]))
        fast = words[1] != "scalar"
        print(line + (f"  goal {goal}: {'held' if float(words[6]) <= goal else 'MISSED'}" if goal and fast else ""))


if __name__ == "__main__":
    main()
