#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill's ocsort beside PyPI's `ocsort`, a package of the authors' program, on the same detections with the program's settings: the
same detections belong to the same tracks, ids up to renaming. The program reports a track that was lost again only after min_hits
matches, here it is reported at once: what is reported here alone must be that. The program assigns over all pairs and then drops
those that overlap too little; here they have no say: so it is given an assignment of the others. The package weighs directions by
the last column, where the program has the score and it the class: both are the score. Boxes whose coordinates add up to less than
nothing count as none there: it is given all of them moved away from the corner.

Usage: test_ocsort.py TRACK_REPLAY. Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that is missing.
"""

import os
import sys
import tempfile
from pathlib import Path

from setting import begin_again

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # small matrices: more threads only wait for one another

try:
    import numpy as np
    from ocsort import association, ocsort
    from scipy.optimize import linear_sum_assignment
except ImportError as error:
    begin_again(error)

import recording as rec

HIGH, MIN_HITS = 0.5, 3
AWAY = 1024
PROGRAM = ["type=ocsort", f"high={HIGH}", "begin_margin=0", f"n_init={MIN_HITS + 1}", "scale_noise=0"]

# name, seed, recording, threshold of overlap, frames of a direction, weight of direction, weak detections, max_age
CASES = [
    ("a few", 1, {}, 0.3, 3, 0.2, False, 30),
    ("crowd", 2, {"people": 25, "frames": 150}, 0.3, 3, 0.2, False, 30),
    ("denser crowd", 3, {"people": 40, "frames": 150}, 0.2, 3, 0.2, False, 30),
    ("no direction", 4, {"people": 25, "frames": 150}, 0.3, 3, 0, False, 30),
    ("long direction", 5, {"people": 25, "frames": 150}, 0.3, 6, 0.5, False, 30),
    ("weak ones, too", 6, {"people": 20, "frames": 150}, 0.3, 3, 0.2, True, 30),
    ("short lives", 7, {"people": 20, "frames": 300}, 0.3, 1, 0.2, False, 5),
]


class Column:
    def __init__(self, values):
        self.values = values

    def numpy(self):
        return self.values


class Detections:
    """What the program wants of a tensor, its columns."""

    def __init__(self, boxes, scores):
        self.columns = np.column_stack([boxes, scores, scores])

    def __getitem__(self, key):
        return Column(self.columns[key])


def assignment(threshold):
    """Of pairs that overlap enough. Rows are detections, columns tracks; costs are -(overlap + direction)."""

    def assign(cost):
        overlap = assign.overlap
        gain = np.where(overlap >= threshold, -cost, 0)
        rows, columns = linear_sum_assignment(-gain)
        return np.array([[r, c] for r, c in zip(rows, columns) if overlap[r, c] >= threshold]).reshape(-1, 2)

    return assign


def with_overlap(function, assign):
    def overlap(a, b):
        assign.overlap = function(a, b)
        return assign.overlap

    return overlap


def reference(recording, threshold, frames, weight, weak, max_age):
    """By frame, track ids by box."""
    assign = assignment(threshold)
    overlap = with_overlap(IOU, assign)
    ocsort.linear_assignment = association.linear_assignment = assign
    association.iou_batch = overlap
    tracker = ocsort.OCSort(HIGH, max_age, MIN_HITS, threshold, frames, "iou", weight, weak)
    tracker.asso_func = overlap
    found = {}
    for number, boxes, scores, _, _ in recording.frames:
        for row in tracker.update(Detections(boxes.astype(float) + AWAY, scores.astype(float)), None):
            found.setdefault(number, {})[key(row[:4] - AWAY)] = int(row[4])
    return found


def key(box):
    return tuple(round(float(v), 3) for v in box)


def ours(program, recording, threshold, frames, weight, weak, max_age):
    settings = {"max_iou": 1 - threshold, "momentum": weight, "momentum_frames": frames, "max_age": max_age, "low": 0.1 if weak else 1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        recording.write(path)
        tracks, _ = rec.replay(program, path, *PROGRAM, *(f"{k}={v}" for k, v in settings.items()))
    found = {}
    for frame, track_id, _, _, box in tracks:
        found.setdefault(frame, {})[key(box)] = track_id
    return found


def compare(theirs, mine):
    """The number of detections compared, and of tracks; raises where a track differs."""
    to_mine, to_theirs, in_a_row, count = {}, {}, {}, 0
    for frame in sorted(set(theirs) | set(mine)):
        a, b = theirs.get(frame, {}), mine.get(frame, {})
        in_a_row = {track_id: in_a_row.get(track_id, 0) + 1 for track_id in b.values()}
        for box, their_id in a.items():
            if box not in b:
                raise AssertionError(f"frame {frame}: the detection at {box} has no track here, {their_id} there")
            if to_mine.setdefault(their_id, b[box]) != b[box] or to_theirs.setdefault(b[box], their_id) != their_id:
                raise AssertionError(f"frame {frame}: track {their_id} is {b[box]} here, was {to_mine[their_id]}")
            count += 1
        for box in set(b) - set(a):
            if in_a_row[b[box]] > MIN_HITS:
                raise AssertionError(f"frame {frame}: the detection at {box} has track {b[box]} here, none there")
    return count, len(to_mine)


def main():
    failed = 0
    for name, seed, shape, *settings in CASES:
        recording = rec.synthetic(seed, **shape)
        random = np.random.default_rng(seed)
        for _, boxes, scores, _, _ in recording.frames:
            boxes[:] = np.round(boxes * 8) / 8  # exact as text: they say which detection is which
            scores[:] = random.uniform(0.45, 1, len(scores)) if not settings[3] else random.uniform(0.2, 1, len(scores))
        try:
            count, tracks = compare(reference(recording, *settings), ours(sys.argv[1], recording, *settings))
            assert count > 300 and tracks > 5, "too little to compare"
            print(f"ok {name}: {count} detections of {tracks} tracks are the same")
        except AssertionError as error:
            failed += 1
            print(f"FAILED {name}: {error}")
    return failed > 0


IOU = association.iou_batch

if __name__ == "__main__":
    sys.exit(main())
