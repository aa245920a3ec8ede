# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Tracking, as a part of bench/run.py: `framemill run --tracker deepsort` with --reid always and ambiguous against its floor (decoding, the
detector and the embedder alone, for as many crops as that run looked at) and against the pipeline of bench/peers/python_tracking.py."""

import statistics
import sys

EMBEDDER = "osnet-x0.25"
ROUND_KEYS = ("always", "ambiguous")


def one_round(b, inputs, frames):
    r = {}
    for reid in ROUND_KEYS:
        run = b.framemill(inputs, frames, extra=["--tracker", "deepsort", "--reid", reid, "--classes", "person"])
        crops = run["batches"]["features"]["items"]
        floor = b.floor(inputs, frames, extra=["--embedder", EMBEDDER, "--crops", crops])
        r[reid] = dict(run, crops=crops, floor=floor)
    r["peer"] = b.tracking_peer(inputs, frames)
    return r


def measure(b):
    rows = []
    for n in (1, 4):
        inputs, frames = [b.a.video] * n, max(1, b.a.frames // n)
        rounds = []
        for i in range(b.a.rounds):
            r = one_round(b, inputs, frames)
            rounds.append(r)
            print(f"tracking x{n} round {i + 1}: always {r['always']['fps']:.1f} (floor {r['always']['floor']['fps']:.1f}), ambiguous "
                  f"{r['ambiguous']['fps']:.1f} (floor {r['ambiguous']['floor']['fps']:.1f}), Python {r['peer']['fps']:.1f} frames/s",
                  file=sys.stderr, flush=True)
        rows.append({"streams": n, "rounds": rounds})
    return rows


def median(rounds, key):
    return statistics.median(key(r) for r in rounds)


def lines(rows):
    """Head and rows of the table."""
    head = ["streams", "reid", "frames/s", "of the floor", "x Python", "x always", "crops a frame", "track ms a frame", "Python's"]
    out = []
    for row in rows:
        for reid in ROUND_KEYS:
            rounds = row["rounds"]
            out.append([
                row["streams"], reid, f"{median(rounds, lambda r: r[reid]['fps']):.1f}",
                f"{median(rounds, lambda r: r[reid]['fps'] / r[reid]['floor']['fps']):.3f}",
                f"{median(rounds, lambda r: r[reid]['fps'] / r['peer']['fps']):.2f}",
                f"{median(rounds, lambda r: r[reid]['fps'] / r['always']['fps']):.2f}",
                f"{median(rounds, lambda r: r[reid]['crops'] / r[reid]['frames']):.2f}",
                f"{median(rounds, lambda r: r[reid]['stages']['track']['total_ms'] / r[reid]['frames']):.3f}",
                f"{median(rounds, lambda r: r['peer']['track_ms']):.2f}"])
    return head, out
