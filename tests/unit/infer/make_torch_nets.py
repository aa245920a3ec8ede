#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Small TorchScript networks for test_torch.c, written into the folder that is named. Exit code 77: there is no PyTorch here."""
import json
import pathlib
import sys

try:
    import torch
    from torch import nn
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)


class Many(nn.Module):
    """Outputs of several types, nested; every value says something about its picture."""

    def forward(self, x):
        return x.mean((2, 3)), {"first": x[:, :, 0, 0].to(torch.int64)}, [x.amax((1, 2, 3)) > 7, x[:, :, 0].to(torch.half)]


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.SiLU(), nn.Conv2d(16, 16, 3, 1, 1, groups=16),
                                  nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))

    def forward(self, x):
        return self.body(x)


class Last(nn.Module):
    """Takes [N,H,W,3]."""

    def forward(self, x):
        return x.mean((1, 2))


class Double(nn.Module):
    """Takes [N,1,H,W], gives [N,1,2H,2W]."""

    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Baked(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)).reshape(1, -1, 3)


class Hungry(nn.Module):
    """Asks for more memory than there can be from a batch of 3 on."""

    def forward(self, x):
        n = 1 << 46 if x.size(0) > 2 else 1
        return x.mean((2, 3)) + torch.empty([n]).numel() * 0


class Fickle(nn.Module):
    """As many values as the first picture says."""

    def forward(self, x):
        n = 1 + int(x[0, 0, 0, 0].item())
        return x.mean((2, 3)).unsqueeze(1).expand(-1, n, -1)


class Count(nn.Module):
    def forward(self, x):
        return x.size(0)


class Fails(nn.Module):
    def forward(self, x):
        if bool((x > 100).any()):
            raise RuntimeError("this picture is too bright")
        return x.mean((2, 3))


class Pooled(nn.Module):
    """Uses an operator of torchvision's."""

    def forward(self, x):
        boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]], dtype=x.dtype)
        pooled = torch.ops.torchvision.roi_align(x[:1], boxes, 1.0, 2, 2, 0, True)
        return x.mean((2, 3)) + pooled.mean((2, 3)) * 0


def save_pooled(folder):
    """With the path of the library that has the operator beside it."""
    try:
        from torchvision import extension
    except ImportError:
        return
    where = pathlib.Path(extension.__file__).parent
    found = sorted(where.glob("_C*.so"))
    if found:
        save(folder, "pooled", Pooled())
        (folder / "operators.txt").write_text(str(found[0]))


def save(folder, name, module, size=(24, 16), traced=False, extra=None):
    w, h = size
    module = module.eval()
    made = torch.jit.trace(module, torch.rand(1, 3, h, w)) if traced else torch.jit.script(module)
    config = {"config.txt": json.dumps({"shape": [1, 3, h, w]})} if extra is None else extra
    torch.jit.save(made, str(folder / f"{name}.pt"), _extra_files=config)


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(3)
    save(folder, "many", Many())
    save(folder, "conv", Conv(), traced=True)
    save(folder, "last", Last(), extra={})
    save(folder, "double", Double(), extra={})
    save(folder, "baked", Baked(), traced=True)
    save(folder, "hungry", Hungry())
    save(folder, "fickle", Fickle())
    save(folder, "count", Count())
    save(folder, "fails", Fails())
    save_pooled(folder)
    torch.save(Conv().state_dict(), folder / "weights.pt")
    torch.save(Conv().state_dict(), folder / "old_weights.pt", _use_new_zipfile_serialization=False)


main()
