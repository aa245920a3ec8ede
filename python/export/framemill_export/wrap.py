# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Modules around networks whose interface is not [N,3,H,W] -> tensors."""
from __future__ import annotations

from typing import Dict, List, Tuple  # the old names: TorchScript of PyTorch 1.13 compiles these annotations

import torch
from torch import Tensor, nn


class Named(nn.Module):
    """One entry of a dictionary of outputs, as torchvision's segmenters return."""

    def __init__(self, model: nn.Module, name: str):
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[self.name]


class First(nn.Module):
    """The first output of several: exports of YOLOv5 and Ultralytics also return what training needs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        out = self.model(x)
        return out if torch.is_tensor(out) else out[0]


class Segmenter(nn.Module):
    """Boxes with coefficients, and the prototypes: what is left of a segmenter of YOLOv5 or Ultralytics."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        out = self.model(x)
        protos = out[1]
        while not torch.is_tensor(protos):  # newer ones return them last of a tuple or list
            protos = protos[-1]
        return out[0], protos


class Features(nn.Module):
    """Convolutions and the mean over what they see."""

    def __init__(self, features: nn.Module):
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean((2, 3))
