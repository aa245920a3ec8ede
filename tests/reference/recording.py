# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Recordings of detections with features for tests/reference/track_replay.c, and synthetic ones: people who walk, cross, hide."""

import struct
import subprocess

import numpy as np


class Recording:
    """frames: a list of (number, boxes [n][4] as corners, scores [n], classes [n], features [n][dim])."""

    def __init__(self, dim, width, height):
        self.dim, self.width, self.height, self.frames = dim, width, height, []

    def add(self, number, boxes, scores, classes, features):
        n = len(boxes)
        self.frames.append(
            (
                number,
                np.asarray(boxes, np.float32).reshape(n, 4),
                np.asarray(scores, np.float32),
                np.asarray(classes, np.int32),
                np.asarray(features, np.float32).reshape(n, self.dim),
            )
        )

    def write(self, path):
        with open(path, "wb") as f:
            f.write(struct.pack("<4s4i", b"FMRC", self.dim, self.width, self.height, len(self.frames)))
            for number, boxes, scores, classes, features in self.frames:
                f.write(struct.pack("<2i", number, len(boxes)))
                for box, score, class_id, feature in zip(boxes, scores, classes, features):
                    f.write(struct.pack("<5fi", *box, score, class_id))
                    f.write(feature.astype("<f4").tobytes())


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def synthetic(seed, people=8, frames=200, dim=32, look_noise=0.25, size=(768, 576)):
    """Walkers with velocities that drift, boxes that jitter, misses, long hidings, and false detections."""
    random = np.random.default_rng(seed)
    recording = Recording(dim, *size)
    looks = unit(random.normal(size=(people, dim)))
    place = random.uniform((0, 100), (size[0], size[1]), (people, 2))
    speed = random.normal(0, 2.5, (people, 2))
    height = random.uniform(60, 160, people)
    hidden = np.zeros(people, int)
    for number in range(frames):
        speed += random.normal(0, 0.3, speed.shape)
        place += speed
        bounce = (place < 0) | (place > np.asarray(size))
        speed[bounce] *= -1
        hidden = np.maximum(hidden - 1, 0)
        hidden[random.random(people) < 0.01] = random.integers(2, 45)
        boxes, scores, features = [], [], []
        for i in range(people):
            if hidden[i] or random.random() < 0.05:
                continue
            h = height[i] * random.normal(1, 0.02)
            w = h * 0.41 * random.normal(1, 0.03)
            x, y = place[i] + random.normal(0, 1.5, 2)
            boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            scores.append(random.uniform(0.5, 1))
            features.append(unit(looks[i] + look_noise * random.normal(size=dim) * random.uniform(0.2, 1)))
        for _ in range(random.poisson(0.3)):
            x, y = random.uniform((0, 0), size)
            boxes.append((x, y, x + 30, y + 80))
            scores.append(random.uniform(0.5, 0.7))
            features.append(unit(random.normal(size=dim)))
        order = random.permutation(len(boxes))
        keep = [
            k
            for k in order
            if boxes[k][0] < size[0] and boxes[k][1] < size[1] and boxes[k][2] > 0 and boxes[k][3] > 0
        ]
        recording.add(number, [boxes[k] for k in keep], [scores[k] for k in keep], [0] * len(keep), [features[k] for k in keep])
    return recording


def replay(program, path, *settings):
    """Runs track_replay: a list of (frame, id, filtered box, score, detection), how many were asked for, of how many."""
    text = subprocess.run([program, path, *settings], check=True, capture_output=True, text=True).stdout
    tracks, asked = [], (0, 0)
    for line in text.splitlines():
        words = line.split()
        if words[0] == "#":
            asked = int(words[2]), int(words[4])
            continue
        values = [float(w) for w in words[2:]]
        tracks.append((int(words[0]), int(words[1]), values[:4], values[4], values[6:]))
    return tracks, asked
