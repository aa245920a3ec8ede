# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Weights -> what framemill runs: python3 export.py CLASSES.txt RUN/best.pt OUT

OUT gets NAME.onnx; NAME.xml and NAME.bin, the same as OpenVINO's IR with weights of half precision; and NAME.yaml. Batch, height and width are free. The
output is that of head `yolov8` with `activation: sigmoid`: [N,4+C,A], centre, width and height in pixels, logits; channels first, so that nothing is turned
around, and no sigmoid, which the head computes only for what passes the threshold. A checkpoint does too: its running mean is taken. Batch norms are folded,
and what lies in the files is compared with the network itself (the IR with the network whose weights are rounded alike) on other inputs, in another batch
and size."""
import argparse
import copy
import hashlib
import pathlib

import numpy as np
import torch
from torch import nn

from data import read_classes
from model import STRIDES, Shape, fold, restored
from train import digest

MOST = 7_000_000  # bytes that may lie in the repository
NEAR = 1e-3       # of scores, and of boxes over the picture's width


class Shipped(nn.Module):
    def __init__(self, net):
        super().__init__()
        fold(net)
        self.net = net

    def forward(self, x):
        return torch.cat([self.level(s, *maps) for s, maps in zip(STRIDES, self.net.maps(x))], 2)

    @staticmethod
    def level(stride, sides, logits):
        """One stride's [N,4,h,w] and [N,C,h,w] -> [N,4+C,hw]."""
        ones = torch.ones_like(logits[:1, :1])
        x, y = ones.cumsum(3) - 0.5, ones.cumsum(2) - 0.5
        low, high = sides[:, :2], sides[:, 2:]
        center = torch.cat([x, y], 1) + (high - low) * 0.5
        return torch.cat([torch.cat([center, low + high], 1) * stride, logits], 1).flatten(2)


def write_onnx(shipped, path):
    axes = {"images": {0: "n", 2: "h", 3: "w"}, "detections": {0: "n", 2: "a"}}
    torch.onnx.export(shipped, torch.zeros(1, 3, 416, 416), path, opset_version=13, input_names=["images"], output_names=["detections"], dynamic_axes=axes)


def write_ir(onnx, xml):
    import openvino
    net = openvino.Core().read_model(onnx)
    openvino.save_model(net, xml, compress_to_fp16=True)


def worst(shipped, path):
    """The largest difference of scores, and of boxes over the picture's width, in three pictures of noise."""
    import openvino
    x = torch.randn(3, 3, 288, 352, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        want = shipped(x).numpy()
    got = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x.numpy())[0]
    if got.shape != want.shape:
        return float("inf")
    scores = [1 / (1 + np.exp(-out[:, 4:])) for out in (got, want)]
    return max(float(np.abs(got[:, :4] - want[:, :4]).max()) / x.shape[3], float(np.abs(scores[0] - scores[1]).max()))


def prove(shipped, path):
    found = worst(shipped, path)
    if not found <= NEAR:
        raise SystemExit(f"export: '{path}' differs from the network by {found:.1e}, {NEAR:.0e} is the most")
    print(f"{path}: differs by {found:.1e}")


def halved(shipped):
    """The network with weights of half precision."""
    out = copy.deepcopy(shipped)
    for parameter in out.parameters():
        parameter.data = parameter.data.half().float()
    return out


def yaml_of(name, classes, files):
    listed = "\n".join(f"      - path: {f.name}\n        size: {f.stat().st_size}\n        sha256: {hashlib.sha256(f.read_bytes()).hexdigest()}" for f in files)
    return f"""# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
name: {name}
task: detection
version: "1"
licence: Apache-2.0
about: "Our own: {len(classes)} classes, EfficientNet-Lite0 cut down, boxes without anchors (see python/train/detector)"
weights: shipped
input: {{layout: nchw, size: [416, 416], color: rgb, mean: 127.5, scale: 127.5, fit: letterbox, anchor: topleft, pad: 114}}
head: {{type: yolov8, boxes: pixels, grid: decoded, activation: sigmoid}}
labels: [{", ".join(classes)}]
variants:
  - files:
{listed}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classes", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--name", default="framemill-nano")
    args = parser.parse_args()
    classes = read_classes(args.classes)
    state = torch.load(args.weights, map_location="cpu")
    state = state.get("mean", state)
    print(f"weights {digest(state)}")
    shipped = Shipped(restored(state, Shape(classes=len(classes)))).eval()
    args.out.mkdir(parents=True, exist_ok=True)
    onnx, xml, ir_weights = (args.out / f"{args.name}{end}" for end in (".onnx", ".xml", ".bin"))
    write_onnx(shipped, onnx)
    prove(shipped, onnx)
    write_ir(onnx, xml)
    prove(halved(shipped), xml)
    print(f"weights of half precision change it by {worst(shipped, xml):.1e}")
    size = sum(f.stat().st_size for f in (xml, ir_weights))
    if size > MOST:
        raise SystemExit(f"export: the IR has {size} bytes, {MOST} is the most")
    (args.out / f"{args.name}.yaml").write_text(yaml_of(args.name, classes, (xml, ir_weights)), encoding="utf-8")


if __name__ == "__main__":
    main()
