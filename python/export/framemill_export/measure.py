# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What a quantised network lost and won against its original: answers of both on pictures, and their speed in turns."""
from __future__ import annotations

import statistics
import time
from typing import Any

CONF, LOW, IOU = 0.5, 0.25, 0.45
TURNS, RUNS = 5, 10


def grid(width: int, height: int) -> tuple[Any, Any]:
    import numpy as np

    cells, strides = [], []
    for s in (8, 16, 32):
        y, x = np.mgrid[0:height // s, 0:width // s]
        cells.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((x.size, 1), s))
    return np.concatenate(cells), np.concatenate(strides)


def candidates(outputs: list[Any], head: dict[str, Any], size: list[int]) -> tuple[Any, Any, Any]:
    """Boxes as x0, y0, x1, y1 of the input, scores, classes; of one picture."""
    import numpy as np

    out = np.asarray(outputs[0])[0].astype(np.float64)
    kind = head["type"].removesuffix("-seg")
    if kind == "yolov8":
        out = out.T if out.shape[0] < out.shape[1] else out
        count = out.shape[1] - 4 - (32 if head["type"].endswith("-seg") else 0)
        rows = out[:, 4:4 + count]
    else:
        count = out.shape[1] - 5 - (32 if head["type"].endswith("-seg") else 0)
        if head.get("activation") == "sigmoid":
            out[:, 4:] = 1 / (1 + np.exp(-out[:, 4:]))
        rows = out[:, 4:5] * out[:, 5:5 + count]
    boxes = out[:, :4].copy()
    if head.get("grid") == "raw" and kind == "yolox":
        cells, strides = grid(*size)
        boxes = np.concatenate([(boxes[:, :2] + cells) * strides, np.exp(boxes[:, 2:]) * strides], 1)
    if head.get("boxes") == "unit":
        boxes *= np.array(size * 2)
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], 1), rows.max(1), rows.argmax(1)


def overlap(a: Any, b: Any) -> Any:
    import numpy as np

    low, high = np.maximum(a[:2], b[:, :2]), np.minimum(a[2:], b[:, 2:])
    inner = np.prod(np.clip(high - low, 0, None), 1)
    return inner / np.maximum(np.prod(a[2:] - a[:2]) + np.prod(b[:, 2:] - b[:, :2], axis=1) - inner, 1e-9)


def detections(outputs: list[Any], head: dict[str, Any], size: list[int], conf: float) -> list[tuple[Any, float, int]]:
    import numpy as np

    boxes, scores, classes = candidates(outputs, head, size)
    order = np.argsort(-scores)
    order = order[scores[order] >= conf][:1000]
    kept: list[int] = []
    for i in order:
        rivals = [k for k in kept if classes[k] == classes[i]]
        if not rivals or overlap(boxes[i], boxes[rivals]).max() < IOU:
            kept.append(int(i))
    return [(boxes[i], float(scores[i]), int(classes[i])) for i in kept]


def compare_detections(pairs: list[tuple[list[Any], list[Any]]], head: dict[str, Any], size: list[int]) -> dict[str, Any]:
    """Of what either finds with a score of 0.5, how much does the other find (0.25, same class, overlap 0.5)?"""
    import numpy as np

    found, matched, extra, shifts, overlaps = 0, 0, 0, [], []
    for original, quantised in pairs:
        strong = detections(original, head, size, CONF), detections(quantised, head, size, CONF)
        weak = detections(original, head, size, LOW), detections(quantised, head, size, LOW)
        for box, score, cls in strong[0]:
            found += 1
            best = max(((float(overlap(box, b[None])[0]), s) for b, s, c in weak[1] if c == cls), default=(0.0, 0.0))
            if best[0] >= 0.5:
                matched += 1
                shifts.append(best[1] - score)
                overlaps.append(best[0])
        for box, _, cls in strong[1]:
            extra += not any(c == cls and overlap(box, b[None])[0] >= 0.5 for b, _, c in weak[0])
    return {"detections": found, "matched": matched, "matched_share": round(matched / found, 4) if found else None, "new": extra,
            "mean_score_shift": round(float(np.mean(shifts)), 4) if shifts else None,
            "mean_absolute_score_shift": round(float(np.mean(np.abs(shifts))), 4) if shifts else None,
            "mean_overlap": round(float(np.mean(overlaps)), 4) if overlaps else None}


def compare_vectors(pairs: list[tuple[list[Any], list[Any]]]) -> dict[str, Any]:
    import numpy as np

    same, cosines = 0, []
    for original, quantised in pairs:
        a, b = (np.asarray(o[0], np.float64).ravel() for o in (original, quantised))
        same += int(a.argmax() == b.argmax())
        cosines.append(float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)))
    return {"same_first_class": round(same / len(pairs), 4), "mean_cosine": round(float(np.mean(cosines)), 5), "least_cosine": round(min(cosines), 5)}


def compare_maps(pairs: list[tuple[list[Any], list[Any]]]) -> dict[str, Any]:
    import numpy as np

    errors = [float(np.abs(np.asarray(a, np.float64) - b).mean() / max(float(np.ptp(a)), 1e-9)) for p in pairs for a, b in zip(*p)]
    return {"mean_error_of_range": round(float(np.mean(errors)), 5)}


def accuracy(pairs: list[tuple[list[Any], list[Any]]], head: dict[str, Any], size: list[int]) -> dict[str, Any]:
    if head["type"].removesuffix("-seg") in ("yolox", "yolov5", "yolov8"):
        return compare_detections(pairs, head, size)
    return compare_vectors(pairs) if head["type"] in ("softmax", "feature") else compare_maps(pairs)


def speed(networks: list[Any], x: Any) -> list[float]:
    """Milliseconds a picture of each, by turns so that a busy machine hits all alike; the median of the turns' medians."""
    medians: list[list[float]] = [[] for _ in networks]
    for _ in range(TURNS):
        for network, found in zip(networks, medians):
            network(x)
            times = []
            for _ in range(RUNS):
                begin = time.perf_counter()
                network(x)
                times.append(time.perf_counter() - begin)
            found.append(statistics.median(times) * 1e3)
    return [statistics.median(m) for m in medians]
