# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Three models on a frame, as a part of bench/run.py: `framemill run` with a detector, a segmenter and a classifier against the sum of decoding
and each of the networks alone, over as many frames. By the clock, and by the processors' time: on a machine with other work the clock favours
whoever has more threads. A run's processor time is that of a long run less that of a short one, so that the start is not in it."""

import statistics
import sys

DETECTOR, CLASSIFIER = "yolox-nano", "efficientnet-lite0"
SEGMENTERS = ("deeplabv3-mnv2", "yolov8n-seg")
SHORT = 8  # frames


def one_round(b, inputs, frames, segmenter):
    flags = ["--detector", DETECTOR, "--segmenter", segmenter, "--classifier", CLASSIFIER]
    floor = b.floor(inputs, frames, networks=(DETECTOR, segmenter, CLASSIFIER))
    short = b.framemill(inputs, SHORT, extra=flags)
    run = b.framemill(inputs, frames + SHORT, extra=flags)
    run["marginal_cpu_s"] = run["cpu_s"] - short["cpu_s"]
    return {"floor": floor, "run": run}


def measure(b):
    rows = []
    for segmenter in [s for s in SEGMENTERS if {s, DETECTOR, CLASSIFIER} <= b.fetched]:
        inputs, frames, rounds = [b.a.video], max(1, b.a.frames // 4), []
        for i in range(b.a.rounds):
            r = one_round(b, inputs, frames, segmenter)
            rounds.append(r)
            print(f"{segmenter} round {i + 1}: {wall(r):.3f} of the sum by the clock, {cpu(r):.3f} by processor time", file=sys.stderr, flush=True)
        rows.append({"segmenter": segmenter, "rounds": rounds})
    return rows


def wall(r):
    return r["floor"]["fps"] / r["run"]["fps"]


def cpu(r):
    return r["run"]["marginal_cpu_s"] / r["floor"]["cpu_s"]


def lines(rows):
    """Head and rows of the table."""
    head = ["models", "frames/s", "sum of the networks and decoding, ms", "run, ms", "run : sum", "run : sum by processor time"]
    out = []
    for row in rows:
        rounds = row["rounds"]

        def median(key, rounds=rounds):
            return statistics.median(key(r) for r in rounds)

        out.append([f"{DETECTOR} + {row['segmenter']} + {CLASSIFIER}", f"{median(lambda r: r['run']['fps']):.1f}",
                    f"{median(lambda r: 1000 / r['floor']['fps']):.1f}", f"{median(lambda r: 1000 / r['run']['fps']):.1f}",
                    f"{median(wall):.3f}", f"{median(cpu):.3f}"])
    return head, out
