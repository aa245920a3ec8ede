# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What training makes small: varifocal loss of the class scores (Zhang et al. 2021, "VarifocalNet", equation 2) and generalised overlap of the boxes
(Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm 1), each cell's share weighted by the score it is to have, both over the sum of
those scores in the batch; weights as in PP-YOLOE (Xu et al. 2022)."""
import torch
from torch.nn import functional as F

from assign import area, assign
from model import boxes_of

FOCAL_ALPHA, FOCAL_GAMMA, BOX_WEIGHT = 0.75, 2.0, 2.5


def varifocal(logits, targets):
    """Elementwise. targets: the score that the right class is to have, 0 for all others."""
    score = logits.detach().sigmoid()
    weight = torch.where(targets > 0, targets, FOCAL_ALPHA * score.pow(FOCAL_GAMMA))
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weight


def giou(a, b):
    """[n,4] and [n,4] boxes -> [n], from -1 to 1."""
    both = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    union = area(a) + area(b) - both
    return both / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def detection_loss(sides, logits, grid, objects):
    """sides [N,A,4], logits [N,A,C], grid as of model.cells, objects: of each picture boxes [G,4] in pixels and labels [G].
    -> loss, and its two parts as numbers."""
    centers, strides = grid
    boxes, scores = boxes_of(sides, centers, strides), logits.detach().sigmoid()
    targets = torch.zeros_like(logits)
    found, wanted, weights = [], [], []
    for i, (true_boxes, labels) in enumerate(objects):
        owner, target = assign(scores[i], boxes[i].detach(), centers, true_boxes, labels)
        has = (owner >= 0).nonzero()[:, 0]
        targets[i, has, labels[owner[has]]] = target[has]
        found.append(boxes[i, has])
        wanted.append(true_boxes[owner[has]])
        weights.append(target[has])
    weights = torch.cat(weights)
    total = weights.sum().clamp(min=1.0)
    of_class = varifocal(logits, targets).sum() / total
    of_box = ((1 - giou(torch.cat(found), torch.cat(wanted))) * weights).sum() / total
    return of_class + BOX_WEIGHT * of_box, float(of_class), float(of_box)
