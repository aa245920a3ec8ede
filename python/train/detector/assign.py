# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Which cells are to find which objects: task-aligned assignment (Feng et al. 2021, "TOOD: Task-aligned One-stage Object Detection", section 3.2).

Of the cells with their centre in an object's box the TOP with the largest score^ALPHA * overlap^BETA find it, as the network stands now; a cell wanted by
several objects finds the one it overlaps most. What such a cell's class score is to be is that product, scaled so that an object's largest is its best
overlap. Numbers as in PP-YOLOE (Xu et al. 2022). Deviation: boxes narrower than a cell of stride 8 count as 8 pixels wide where centres are asked for, so
that every object has a cell."""
import torch

TOP, ALPHA, BETA, LEAST_SIDE = 13, 1.0, 6.0, 8.0


def overlaps(a, b):
    """[G,4] and [A,4] or [G,A,4] boxes -> [G,A] intersection over union."""
    a = a[:, None]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    return both / (area(a) + area(b) - both).clamp(min=1e-9)


def area(boxes):
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def inside(boxes, centers):
    """[G,A]: is the centre in the box, or in the square of LEAST_SIDE around its middle?"""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half.clamp(min=LEAST_SIDE / 2)[:, None]
    away = centers[None] - middle[:, None]
    return ((away >= -half) & (away < half)).all(-1)


@torch.no_grad()
def assign(scores, boxes, centers, true_boxes, labels):
    """One picture. scores [A,C] after their sigmoid, boxes [A,4] as predicted; true_boxes [G,4], labels [G] -> for every cell its object (index, or -1)
    and the score it is to give that object's class."""
    count = len(boxes)
    owner, target = torch.full((count,), -1, dtype=torch.long), torch.zeros(count)
    if len(true_boxes) == 0:
        return owner, target
    iou = overlaps(true_boxes, boxes)
    candidate = inside(true_boxes, centers)
    metric = scores[:, labels].T.pow(ALPHA) * iou.pow(BETA) * candidate
    # where all products are zero, as when training begins, the order of the cells decides, among the candidates
    rank = metric + candidate * 1e-12
    top = rank.topk(min(TOP, count), dim=1)
    chosen = torch.zeros_like(candidate).scatter_(1, top.indices, top.values > 0) & candidate
    iou_chosen = torch.where(chosen, iou, torch.full_like(iou, -1.0))
    best, index = iou_chosen.max(0)
    has = best >= 0
    owner[has] = index[has]
    mine = torch.zeros_like(chosen)
    mine[index[has], has.nonzero()[:, 0]] = True
    metric, iou = metric * mine, iou * mine
    scale = iou.amax(1) / metric.amax(1).clamp(min=1e-12)
    target[has] = (metric * scale[:, None]).amax(0)[has]
    return owner, target
