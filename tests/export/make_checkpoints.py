# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Small things to export, with random weights."""
import pathlib


def class_of_stranger():
    class Stranger:
        def __reduce__(self):
            return print, ("this pickle ran",)

    return Stranger()


def make(folder: pathlib.Path) -> None:
    import torch
    import torchvision

    torch.manual_seed(1)
    vision = torchvision.models
    torch.save({"state_dict": {"module." + k: v for k, v in vision.squeezenet1_1(weights=None).state_dict().items()}}, folder / "squeezenet.pth")
    torch.save(vision.squeezenet1_1(weights=None), folder / "whole.pth")
    torch.save(class_of_stranger(), folder / "stranger.pth")
    data = (folder / "squeezenet.pth").read_bytes()
    (folder / "half.pth").write_bytes(data[: len(data) // 2])
    (folder / "noise.pth").write_bytes(bytes(range(256)) * 40)
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(folder / "script.pt"))
