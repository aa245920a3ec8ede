# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Boxes against the truth: average precision as COCO counts it (pycocotools: greedy by score, precision made monotonous, 101 recalls; difficult objects
neither help nor hurt), recall and precision of one class over thresholds, and the suppression that all of it begins with."""
import numpy as np

RECALLS = np.linspace(0, 1, 101)


def overlaps(a, b):
    """[n,4] and [m,4] of x0, y0, x1, y1 -> [n,m]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(x[:, 2:] - x[:, :2], 0, None).prod(1) for x in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def suppress(boxes, scores, labels, iou=0.45, most=100):
    """Greedy suppression by class; -> indices, by score descending."""
    order = np.argsort(-scores, kind="stable")
    shifted = boxes + labels[:, None] * 1e5  # classes lie apart
    keep = []
    while len(order) and len(keep) < most:
        keep.append(order[0])
        order = order[1:][overlaps(shifted[order[:1]], shifted[order[1:]])[0] <= iou]
    return np.array(keep, np.int64)


def match(boxes, truth, ignored, iou=0.5):
    """Boxes by score descending -> for each 1 found, 0 wrong, -1 not counted (matches an ignored object only)."""
    if len(truth) == 0:
        return np.zeros(len(boxes), np.int8)
    over, taken, out = overlaps(boxes, truth), np.zeros(len(truth), bool), np.zeros(len(boxes), np.int8)
    for i, row in enumerate(over):
        for group, result in ((~ignored & ~taken, 1), (ignored, -1)):
            masked = np.where(group, row, -1)
            j = int(masked.argmax())
            if masked[j] >= iou:
                out[i] = result
                taken[j] |= result == 1
                break
    return out


def average_precision(scores, hits, count):
    """Scores and hits (1 or 0) of all pictures, count: objects to be found."""
    if count == 0:
        return float("nan")
    hit = hits[np.argsort(-scores, kind="stable")].astype(bool)
    found, wrong = np.cumsum(hit), np.cumsum(~hit)
    recall, precision = found / count, found / np.maximum(found + wrong, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    return float(np.mean(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0))) if len(hit) else 0.0


def by_class(results, truths, class_count, iou=0.5):
    """results: of each picture boxes, scores, labels; truths: boxes, labels, difficult. -> AP [C] and the number of objects [C]."""
    ap, counts = np.full(class_count, np.nan), np.zeros(class_count, int)
    for c in range(class_count):
        scores, hits = [], []
        for (boxes, score, label), (true_boxes, true_labels, difficult) in zip(results, truths):
            mine, theirs = np.flatnonzero(label == c), true_labels == c
            counts[c] += int((theirs & ~difficult).sum())
            mine = mine[np.argsort(-score[mine], kind="stable")]
            hit = match(boxes[mine], true_boxes[theirs], difficult[theirs], iou)
            scores.append(score[mine][hit >= 0])
            hits.append(hit[hit >= 0])
        ap[c] = average_precision(np.concatenate(scores), np.concatenate(hits), counts[c])
    return ap, counts


def curve(results, truths, iou=0.5):
    """One class: of pictures (boxes, scores) and true boxes -> thresholds descending, recall, precision at each."""
    scores, hits, count = [], [], 0
    for (boxes, score), true_boxes in zip(results, truths):
        order = np.argsort(-score, kind="stable")
        hits.append(match(boxes[order], true_boxes, np.zeros(len(true_boxes), bool), iou))
        scores.append(score[order])
        count += len(true_boxes)
    scores, hits = np.concatenate(scores), np.concatenate(hits)
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order] == 1)
    return scores[order], found / max(count, 1), found / (np.arange(len(found)) + 1)
