# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""PSNR(Y) of networks on test pictures: python3 evaluate.py PICTURES MODEL [MODEL...]

MODEL is a file that OpenVINO reads (.onnx, .xml, .pb) and that makes luma twice as large; Pillow's bicubic stands beside them. A picture is cut to even sides and
made half as large by Pillow's antialiased bicubic, in RGB; luma is BT.601, 16..235, not rounded; two pixels at the edges do not count; the mean is over pictures."""
import argparse
import pathlib

import numpy as np
import openvino
from PIL import Image

from data import luma

EDGE = 2


def pair(path):
    image = Image.open(path).convert("RGB")
    image = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
    return image, image.resize((image.width // 2, image.height // 2), Image.BICUBIC)


def load(path):
    """A function: luma, 0..255 -> luma twice as large. Files of TensorFlow take channels last."""
    net = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    last = path.suffix == ".pb"

    def run(y):
        x = (y / 255).astype(np.float32)
        return np.squeeze(net(x[None, :, :, None] if last else x[None, None])[0]) * 255

    return run


def psnr(a, b):
    error = (np.clip(a, 0, 255) - b)[EDGE:-EDGE, EDGE:-EDGE]
    return 10 * np.log10(255**2 / np.mean(error**2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    paths = [args.pictures] if args.pictures.is_file() else sorted(args.pictures.glob("*.png"))
    pairs = [pair(path) for path in paths]
    rows = {"bicubic": [psnr(luma(small.resize(large.size, Image.BICUBIC)), luma(large)) for large, small in pairs]}
    for model in args.models:
        run = load(model)
        rows[model.stem] = [psnr(run(luma(small)), luma(large)) for large, small in pairs]
    print(f"{'':20} {'mean':>7} " + " ".join(f"{path.stem:>9.9}" for path in paths))
    for name, values in rows.items():
        print(f"{name:20} {np.mean(values):7.2f} " + " ".join(f"{v:9.2f}" for v in values))


if __name__ == "__main__":
    main()
