# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The network: luma in, luma of twice the size out.

All work is done at the small size, in 3x3 convolutions of 16 channels, and the pixels of the large picture are the last layer's channels (Shi et al.
2016, ESPCN). What is learnt is added to the picture enlarged by repetition. Layers are trained as in SESR (Bhardwaj et al. 2022): each one is the product
of a wide convolution and a 1x1 one beside a short skip, all of it linear, so that Plain, which is shipped, has one small convolution in its place."""
import torch
from torch import nn
from torch.nn import functional as F

CHANNELS, LAYERS, WIDE, SCALE = 16, 5, 128, 2


class Wide(nn.Module):
    """A convolution in training: from inputs to WIDE channels and back to outputs, and the input itself where the sizes agree."""

    def __init__(self, inputs, outputs, side, wide=WIDE):
        super().__init__()
        self.up = nn.Parameter(torch.empty(wide, inputs, side, side))
        self.down = nn.Parameter(torch.empty(outputs, wide))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_normal_(self.up)
        nn.init.xavier_normal_(self.down)
        self.skip = inputs == outputs
        self.pad = side // 2

    def weight(self):
        weight = torch.einsum("ow,wihk->oihk", self.down, self.up)
        if self.skip:
            one = torch.zeros_like(weight)
            c = torch.arange(len(one))
            one[c, c, self.pad, self.pad] = 1
            weight = weight + one
        return weight

    def forward(self, x):
        return F.conv2d(x, self.weight(), self.bias, padding=self.pad)


def wire(first, middle, last, acts, x):
    y = features = acts[0](first(x))
    for conv, act in zip(middle, acts[1:]):
        y = act(conv(y))
    return F.pixel_shuffle(last(y + features) + x, SCALE)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Wide(1, CHANNELS, 5)
        self.middle = nn.ModuleList(Wide(CHANNELS, CHANNELS, 3) for _ in range(LAYERS))
        self.last = Wide(CHANNELS, SCALE * SCALE, 3)
        self.acts = nn.ModuleList(nn.PReLU(1) for _ in range(LAYERS + 1))

    def forward(self, x):
        """[N,1,H,W], 0..1 -> [N,1,2H,2W]"""
        return wire(self.first, self.middle, self.last, self.acts, x)


class Plain(nn.Module):
    """The same function as a trained Net."""

    def __init__(self, net):
        super().__init__()
        self.first, self.last = self.fold(net.first), self.fold(net.last)
        self.middle = nn.ModuleList(self.fold(layer) for layer in net.middle)
        self.acts = net.acts

    @staticmethod
    def fold(layer):
        weight = layer.weight().detach()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=layer.pad)
        conv.weight = nn.Parameter(weight)
        conv.bias = nn.Parameter(layer.bias.detach().clone())
        return conv

    def forward(self, x):
        return wire(self.first, self.middle, self.last, self.acts, x)
