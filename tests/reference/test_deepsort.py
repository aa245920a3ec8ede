#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill's deepsort beside PyPI's deep-sort-realtime on the same detections and features: the same tracks in every frame, ids up to
renaming, filtered boxes to 0.01 pixel. The improvements are off. The head of src/track/deepsort.c lists where the two differ; here:

- "as published" clears what deep-sort-realtime adds to the galleries anew each frame, as the authors' program does, so that a small
  budget can be compared;
- "as it is" leaves it alone, without a budget, where that changes nothing.

Usage: test_deepsort.py TRACK_REPLAY. Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that is missing.
"""

import os
import sys
import tempfile
from pathlib import Path

from setting import begin_again

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # small matrices: more threads only wait for one another

try:
    import numpy as np
    from deep_sort_realtime.deep_sort.track import Track
    from deep_sort_realtime.deepsort_tracker import DeepSort
except ImportError as error:
    begin_again(error)

import recording as rec

PAPER = ["reid=0", "high=0", "low=1", "begin_margin=0", "n_init=3", "confirm_score=2", "max_iou=0.7", "overlap_age=1", "scale_noise=0"]
PAPER += ["gate=9.4877", "overlap_weight=0", "feature_weight=0", "reentry_count=0"]

# name, seed, recording, settings of both, as published
CASES = [
    ("as it is", 1, {}, {}, False),
    ("as it is, crowd", 2, {"people": 25, "frames": 100}, {}, False),
    ("as it is, alike", 3, {"people": 15, "frames": 120, "look_noise": 0.6, "dim": 16}, {"max_cosine": 0.3}, False),
    ("as published, budget", 4, {"people": 10, "frames": 200}, {"budget": 5}, True),
    ("as published, crowd", 5, {"people": 40, "frames": 60}, {"budget": 30}, True),
    ("as published, short lives", 6, {"people": 12, "frames": 150}, {"max_age": 4, "n_init": 2, "max_iou": 0.5, "budget": 100}, True),
    ("as published, long dimensions", 7, {"people": 10, "frames": 120, "dim": 512, "look_noise": 0.08}, {"budget": 100}, True),
    ("as published, strict", 8, {"people": 20, "frames": 120}, {"max_cosine": 0.05, "max_iou": 0.9, "n_init": 5, "budget": 10}, True),
]


class Features(list):
    """Empty after each frame, as in the authors' program; its last element may be asked for all the same."""

    def __getitem__(self, index):
        return super().__getitem__(index) if self else None


class PublishedTrack(Track):
    @property
    def features(self):
        return self.kept

    @features.setter
    def features(self, _):
        self.kept = Features()


def reference(recording, settings, published):
    tracker = DeepSort(
        embedder=None,
        max_age=settings.get("max_age", 30),
        n_init=settings.get("n_init", 3),
        max_cosine_distance=settings.get("max_cosine", 0.2),
        max_iou_distance=settings.get("max_iou", 0.7),
        nn_budget=settings.get("budget"),
        override_track_class=PublishedTrack if published else None,
    )
    found = {}
    for number, boxes, scores, classes, features in recording.frames:
        raw = [((b[0], b[1], b[2] - b[0], b[3] - b[1]), s, c) for b, s, c in zip(boxes, scores, classes)]
        tracks = tracker.update_tracks(raw, embeds=list(features))
        for track in tracks:
            if track.is_confirmed() and track.time_since_update == 0:
                found.setdefault(number, []).append((track.track_id, track.to_ltrb()))
    return found


def ours(program, recording, settings):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        recording.write(path)
        given = {"budget": 1000, **settings}
        tracks, asked = rec.replay(program, path, *PAPER, *(f"{k}={v}" for k, v in given.items()))
    assert asked[0] == asked[1], "reid always asks for every detection"
    found = {}
    for frame, track_id, box, _, _ in tracks:
        found.setdefault(frame, []).append((track_id, box))
    return found


def compare(theirs, mine):
    """The number of boxes compared; raises where a track differs."""
    to_mine, to_theirs, boxes = {}, {}, 0
    for frame in sorted(set(theirs) | set(mine)):
        a, b = theirs.get(frame, []), mine.get(frame, [])
        if len(a) != len(b):
            raise AssertionError(f"frame {frame}: {len(a)} tracks there, {len(b)} here")
        for their_id, box in a:
            gap, my_id = min((float(np.abs(np.subtract(box, other)).max()), i) for i, other in b)
            if gap > 0.01:
                raise AssertionError(f"frame {frame}: track {their_id} lies {gap:.4f} pixels from the nearest here")
            if to_mine.setdefault(their_id, my_id) != my_id or to_theirs.setdefault(my_id, their_id) != their_id:
                raise AssertionError(f"frame {frame}: track {their_id} is {my_id} here, was {to_mine[their_id]}")
            boxes += 1
    return boxes, len(to_mine)


def main():
    failed = 0
    for name, seed, shape, settings, published in CASES:
        recording = rec.synthetic(seed, **shape)
        try:
            boxes, tracks = compare(reference(recording, settings, published), ours(sys.argv[1], recording, settings))
            assert boxes > 300 and tracks > 5, "too little to compare"
            print(f"ok {name}: {boxes} boxes of {tracks} tracks are the same")
        except AssertionError as error:
            failed += 1
            print(f"FAILED {name}: {error}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
