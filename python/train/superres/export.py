# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Weights -> ONNX with free batch, height and width: python3 export.py RUN/best.pt OUT.onnx"""
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
    net.load_state_dict(torch.load(args.weights))
    axes = {0: "n", 2: "h", 3: "w"}
    torch.onnx.export(Plain(net).eval(), torch.zeros(1, 1, 24, 32), args.out, opset_version=13, input_names=["y"], output_names=["large"],
                      dynamic_axes={"y": axes, "large": axes})


if __name__ == "__main__":
    main()
