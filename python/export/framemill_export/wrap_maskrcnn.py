# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Mask R-CNN of torchvision as tensors in, tensors out. A module of its own, since it needs torchvision to be imported at all."""
from __future__ import annotations

from typing import Dict, List, Tuple  # the old names: TorchScript of PyTorch 1.13 compiles these annotations

import torch
from torch import Tensor, nn
from torch.onnx import register_custom_op_symbolic, symbolic_helper
from torchvision.models.detection.image_list import ImageList

ROI_ALIGN_OPSET = 16  # the first that says where a pixel's middle is


@symbolic_helper.parse_args("v", "v", "f", "i", "i", "i", "i")
def roi_align(g, features, rois, scale, height, width, samples, aligned):  # type: ignore[no-untyped-def]
    """RoIAlign as torchvision means it. Older ones of its own leave the mode out, which opset 16 takes for aligned=True: boxes come out
    a pixel off."""
    number = g.op("Constant", value_t=torch.tensor([0], dtype=torch.long))
    sides = g.op("Constant", value_t=torch.tensor([1, 2, 3, 4], dtype=torch.long))
    axis = g.op("Constant", value_t=torch.tensor([1], dtype=torch.long))
    batch = g.op("Cast", g.op("Squeeze", g.op("Gather", rois, number, axis_i=1), axis), to_i=7)
    return g.op("RoiAlign", features, g.op("Gather", rois, sides, axis_i=1), batch, spatial_scale_f=scale, output_height_i=height,
                output_width_i=width, sampling_ratio_i=max(samples, 0),
                coordinate_transformation_mode_s="half_pixel" if aligned else "output_half_pixel")


register_custom_op_symbolic("torchvision::roi_align", roi_align, ROI_ALIGN_OPSET)


class MaskRcnn(nn.Module):
    """torchvision's Mask R-CNN takes a list of pictures, resizes them as it likes and returns a list of dictionaries of all lengths. Here
    pictures come in one size, letterboxed by who calls, so its resizing is left out, not its mean and deviation; what it found is
    padded to `places` rows: boxes [N,P,4] in pixels of the input, labels [N,P], scores [N,P], masks [N,P,28,28], counts [N]. Masks stay
    small: framemill pastes them into the source frame."""

    def __init__(self, model: nn.Module, places: int):
        super().__init__()
        self.backbone = model.backbone
        self.rpn = model.rpn
        self.roi_heads = model.roi_heads
        self.places = places
        self.register_buffer("mean", torch.tensor(model.transform.image_mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(model.transform.image_std).view(1, 3, 1, 1))

    def pad(self, t: Tensor) -> Tensor:
        filler = torch.zeros([self.places] + list(t.shape)[1:], dtype=t.dtype, device=t.device)
        return torch.cat([t, filler])[: self.places]

    def pack(self, found: List[Dict[str, Tensor]]) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        boxes: List[Tensor] = []
        labels: List[Tensor] = []
        scores: List[Tensor] = []
        masks: List[Tensor] = []
        counts: List[Tensor] = []
        for one in found:
            boxes.append(self.pad(one["boxes"]))
            labels.append(self.pad(one["labels"]))
            scores.append(self.pad(one["scores"]))
            masks.append(self.pad(one["masks"][:, 0]))
            # a sum, and not a shape: so the number stays one that depends on the picture when this is traced
            counts.append(torch.ones_like(one["labels"])[: self.places].sum())
        return torch.stack(boxes), torch.stack(labels), torch.stack(scores), torch.stack(masks), torch.stack(counts)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x = (x - self.mean) / self.deviation
        sizes: List[Tuple[int, int]] = []
        for _ in range(x.size(0)):
            sizes.append((x.size(2), x.size(3)))
        features = self.backbone(x)
        proposals, _ = self.rpn(ImageList(x, sizes), features, None)
        found, _ = self.roi_heads(features, proposals, sizes, None)
        return self.pack(found)
