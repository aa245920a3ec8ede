# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""A network on its way out: the module and what framemill has to know about it."""
from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class Network:
    module: Any                        # takes [N,3,H,W] floats: (value - mean) / scale
    name: str
    task: str                          # detection, segmentation, classification, features
    head: dict[str, Any]
    size: tuple[int, int]              # width, height
    outputs: list[str]                 # names, for ONNX
    color: str = "rgb"
    mean: list[float] | float = 0      # in 0..255
    scale: list[float] | float = 255
    fit: str = "letterbox"
    anchor: str = "center"
    pad: int = 114
    crop_ratio: float | None = None
    labels: list[str] | str | None = None
    dim: int = 0
    version: str = "exported"
    licence: str = "unknown"
    about: str = ""
    is_scripted: bool = False          # TorchScript by compiling: its flow depends on the data
    is_batch_free: bool = True         # as ONNX too
    opset: int = 13
    # Shapes whose rows may be in another order for another batch are not compared value by value.
    is_comparable: bool = True


def imagenet(network: Network) -> None:
    """ImageNet's mean and deviation, as torchvision's models want them."""
    network.mean = [123.675, 116.28, 103.53]
    network.scale = [58.395, 57.12, 57.375]
