# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Weights -> ONNX with free batch, height and width, or TorchScript for NVIDIA GPUs: python3 export.py RUN/best.pt OUT.onnx|OUT.pt

A checkpoint does too: its running mean is taken."""
import argparse
import pathlib

import torch

from net import Net, Plain


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    net = Net()
    state = torch.load(args.weights, map_location="cpu")
    net.load_state_dict(state.get("mean", state))
    plain = Plain(net).eval()
    if args.out.suffix == ".pt":
        torch.jit.save(torch.jit.trace(plain, torch.zeros(1, 1, 24, 32)), args.out)
        return
    axes = {0: "n", 2: "h", 3: "w"}
    torch.onnx.export(plain, torch.zeros(1, 1, 24, 32), args.out, opset_version=13, input_names=["y"], output_names=["large"],
                      dynamic_axes={"y": axes, "large": axes})


if __name__ == "__main__":
    main()
