#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill's bytetrack beside PyPI's `bytetracker`, a package of the authors' program, on the same detections with the program's
settings: the same track for each detection in every frame, ids up to renaming, filtered boxes to 0.01 pixel. What the package gets
wrong is put right from outside:

- it takes the corners x0, y0 of a box for its centre: it is given boxes that lie half their size up and to the left;
- it counts pixels as in 1..n, one more than x1 - x0: it is given boxes a thousand times as large, all else is in proportion;
- it cuts the list of weak detections to the number of strong ones: it is given a list of classes that never ends;
- a track found in the frame after its end stays on the list of ended ones, and is gone with its next miss: it is taken off the list;
- it does not predict a track one frame old: that is done before each frame;
- torch is asked for by name only, and is not needed.

Usage: test_bytetrack.py TRACK_REPLAY. Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that is missing.
"""

import os
import sys
import tempfile
import types
from pathlib import Path

from setting import begin_again

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # small matrices: more threads only wait for one another

try:
    import numpy as np

    if "torch" not in sys.modules:
        sys.modules["torch"] = types.ModuleType("torch")
        sys.modules["torch"].Tensor = type("Tensor", (), {})
    from bytetracker.basetrack import BaseTrack, TrackState
    from bytetracker.byte_tracker import BYTETracker
except ImportError as error:
    begin_again(error)

import recording as rec

HIGH = 0.5
LATE = 1  # frames after its end in which a track may still be found there
PROGRAM = ["type=bytetrack", f"high={HIGH}", "low=0.1", "begin_margin=0.1", "n_init=2", "max_iou_low=0.5"]
PROGRAM += ["max_iou_new=0.7", "overlap_age=1", "fuse_score=1", "scale_noise=0"]

# name, seed, recording, its scores, max_iou, max_age
CASES = [
    ("a few", 1, {}, (0.2, 0.99), 0.8, 30),
    ("crowd", 2, {"people": 25, "frames": 150}, (0.2, 0.99), 0.8, 30),
    ("denser crowd", 3, {"people": 40, "frames": 150}, (0.1, 0.99), 0.8, 30),
    ("sure detector", 4, {"people": 15}, (0.6, 0.99), 0.8, 30),
    ("unsure detector", 5, {"people": 15, "frames": 400}, (0.05, 0.9), 0.9, 30),
    ("short lives", 6, {"people": 20, "frames": 400}, (0.2, 0.99), 0.7, 5),
]


class Endless:
    """Classes: all the same, and as many as are asked for."""

    def numpy(self):
        return self

    def __getitem__(self, _):
        return np.zeros(10000)


class Column:
    def __init__(self, values):
        self.values = values

    def numpy(self):
        return self.values

    def __getattr__(self, name):
        return getattr(self.values, name)

    def __getitem__(self, key):
        return self.values[key]


class Detections:
    """What the program wants of a tensor, its columns."""

    def __init__(self, boxes, scores):
        half = (boxes[:, 2:] - boxes[:, :2]) / 2
        self.boxes, self.scores = np.hstack([boxes[:, :2] - half, boxes[:, :2] + half]), scores

    def __getitem__(self, key):
        if key[1] == 5:
            return Endless()
        return Column(self.scores) if key[1] == 4 else Boxes(self.boxes)


class Boxes(Column):
    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


def unshifted(box):
    half = (box[2:] - box[:2]) / 2
    return box + np.hstack([half, half])


def with_scores(recording, seed, low, high):
    """The same boxes with scores from low to high, no two in a frame the same: they say which detection is which."""
    random = np.random.default_rng(seed)
    for number, boxes, scores, _, _ in recording.frames:
        values = np.round(random.beta(3, 1.2, len(scores)) * (high - low) + low, 3)
        scores[:] = values + np.arange(len(scores)) * 1e-5  # each its own
    return recording


def reference(recording, max_iou, max_age):
    """By frame, track ids by score of the detection: scores are unique."""
    BaseTrack._count = 0
    tracker = BYTETracker(track_thresh=HIGH, track_buffer=max_age, match_thresh=max_iou, frame_rate=30)
    found = {}
    for number, boxes, scores, _, _ in recording.frames:
        for track in tracker.tracked_stracks:
            if not track.is_activated:
                track.predict()
        for row in tracker.update(Detections(1000 * boxes.astype(float), scores.astype(float)), None):
            found.setdefault(number, {})[round(float(row[6]), 5)] = int(row[4]), unshifted(row[:4]) / 1000
        tracker.removed_stracks = [t for t in tracker.removed_stracks if t.state == TrackState.Removed]
    return found


def ours(program, recording, max_iou, max_age):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        recording.write(path)
        tracks, _ = rec.replay(program, path, *PROGRAM, f"max_iou={max_iou}", f"max_age={max_age + LATE}")
    found = {}
    for frame, track_id, box, score, _ in tracks:
        found.setdefault(frame, {})[round(score, 5)] = track_id, box
    return found


def compare(theirs, mine):
    """The number of detections compared, and of tracks; raises where a track differs."""
    to_mine, to_theirs, count = {}, {}, 0
    for frame in sorted(set(theirs) | set(mine)):
        a, b = theirs.get(frame, {}), mine.get(frame, {})
        if set(a) != set(b):
            raise AssertionError(f"frame {frame}: other detections are tracked: {sorted(set(a) ^ set(b))}")
        for score, (their_id, box) in a.items():
            my_id, my_box = b[score]
            if to_mine.setdefault(their_id, my_id) != my_id or to_theirs.setdefault(my_id, their_id) != their_id:
                raise AssertionError(f"frame {frame}: track {their_id} is {my_id} here, was {to_mine[their_id]}")
            gap = float(np.abs(np.subtract(box, my_box)).max())
            if gap > 0.01:
                raise AssertionError(f"frame {frame}: the box of track {their_id} lies {gap:.4f} pixels from that here")
            count += 1
    return count, len(to_mine)


def main():
    failed = 0
    for name, seed, shape, scores, max_iou, max_age in CASES:
        recording = with_scores(rec.synthetic(seed, **shape), seed, *scores)
        try:
            count, tracks = compare(reference(recording, max_iou, max_age), ours(sys.argv[1], recording, max_iou, max_age))
            assert count > 300 and tracks > 5, "too little to compare"
            print(f"ok {name}: {count} detections of {tracks} tracks are the same")
        except AssertionError as error:
            failed += 1
            print(f"FAILED {name}: {error}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
