# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""INT8 with NNCF, calibrated on the user's own pictures. Every fourth picture is kept from calibration and used to measure; what was lost and
won is printed and can be written as JSON. The result is a model of its own, NAME-int8, that nobody gets who does not ask for it.

What comes behind the last layer with weights, as the decoding of boxes, stays in floats: there classes in 0..1 and boxes of hundreds of pixels
share tensors, and one scale of 8 bits for both leaves no classes."""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
from typing import Any

from . import Refused, describe, need, pictures
from .checkpoint import first_line
from .measure import accuracy, speed

WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
MEASURED = 100
ENOUGH = 0.9  # of the answers; below, the output says so


def read_description(path: pathlib.Path) -> tuple[dict[str, Any], pathlib.Path]:
    yaml = need("yaml", "pyyaml")
    if path.suffix != ".yaml":
        path = path.with_suffix(".yaml")
    if not path.is_file():
        raise Refused(f"the model's description '{path}' is not there: it says how pictures are prepared")
    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise Refused(f"'{path}' is no YAML: {first_line(e)}") from e
    if not isinstance(text, dict) or not isinstance(text.get("variants"), list):
        raise Refused(f"'{path}' describes no model")
    return text, path


def choose_variant(model: dict[str, Any], folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any], dict[str, Any]]:
    """The first file for OpenVINO that is there, with its input and head."""
    for v in model["variants"]:
        files = [folder / str(f.get("path", "")) for f in v.get("files", [])]
        if v.get("backend", "openvino") == "openvino" and files and all(f.is_file() for f in files):
            if v.get("cut", "none") != "none":
                raise Refused(f"model '{model.get('name')}': a network that is cut while it is fetched cannot be quantised")
            return files[0], {**model.get("input", {}), **v.get("input", {})}, {**model.get("head", {}), **v.get("head", {})}
    raise Refused(f"none of the files of model '{model.get('name')}' for OpenVINO is whole in '{folder}'; say where they are with --files")


def import_nncf() -> Any:
    """NNCF looks at PyTorch where it finds it, and falls over an old one; it is not needed here."""
    os.environ["NNCF_CI"] = "1"  # it reports its use to its makers otherwise
    blocked = "torch" not in sys.modules
    if blocked:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        nncf = need("nncf", "nncf (pip install nncf)")
        nncf.set_log_level("ERROR") if hasattr(nncf, "set_log_level") else None
        return nncf
    finally:
        if blocked:
            del sys.modules["torch"]


def behind_weights(model: Any) -> list[str]:
    """Names of the nodes from which no layer with weights is reached any more."""
    leads: set[str] = set()
    tail = []
    for node in reversed(model.get_ordered_ops()):
        name = node.get_friendly_name()
        readers = [t.get_node() for o in node.outputs() for t in o.get_target_inputs()]
        if any(r.get_friendly_name() in leads or r.get_type_name() in WEIGHTED for r in readers):
            leads.add(name)
        elif node.get_type_name() not in WEIGHTED + ("Constant", "Result", "Parameter"):
            tail.append(name)
    return tail


def load(core: Any, path: pathlib.Path) -> Any:
    model = core.read_model(path)
    shape = model.input(0).get_partial_shape()
    model.reshape([-1] + [shape[i] for i in range(1, len(shape))])
    if not all(o.get_partial_shape()[0].is_dynamic for o in model.outputs):
        raise Refused(f"'{path}' has its batch baked in; free it first: framemill-export free-batch {path}")
    if any("FakeQuantize" == n.get_type_name() for n in model.get_ordered_ops()):
        raise Refused(f"'{path}' is quantised already")
    return model


def prepared(paths: list[pathlib.Path], wants: dict[str, Any], most: int) -> list[Any]:
    found = []
    for path in paths:
        picture = pictures.read(path)
        if picture is not None:
            found.append(pictures.as_input(picture, wants))
        if len(found) == most:
            break
    if not found:
        raise Refused("none of the pictures can be read")
    return found


def quantised(nncf: Any, model: Any, data: list[Any]) -> Any:
    tail = behind_weights(model)
    scope = nncf.IgnoredScope(names=tail, validate=False) if tail else None
    with contextlib.redirect_stdout(sys.stderr):  # its progress
        return nncf.quantize(model, nncf.Dataset(data), subset_size=len(data), preset=nncf.QuantizationPreset.MIXED, ignored_scope=scope)


def measure(core: Any, files: list[pathlib.Path], data: list[Any], head: dict[str, Any], size: list[int]) -> dict[str, Any]:
    networks = [core.compile_model(core.read_model(f), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}) for f in files]

    def run(network: Any, x: Any) -> list[Any]:
        result = network(x)
        return [result[o].copy() for o in network.outputs]

    report = accuracy([(run(networks[0], x), run(networks[1], x)) for x in data], head, size)
    before, after = speed(networks, data[0])
    report.update(pictures=len(data), ms_before=round(before, 2), ms_after=round(after, 2), times_faster=round(before / after, 2))
    return report


def write_description(source: pathlib.Path, model: dict[str, Any], wants: dict[str, Any], head: dict[str, Any], name: str, xml: pathlib.Path,
                      report: dict[str, Any]) -> pathlib.Path:
    yaml = need("yaml", "pyyaml")
    said = "; ".join(f"{k} {v}" for k, v in report.items())
    text = {"name": name, "task": model["task"], "version": str(model.get("version", "1")), "licence": str(model.get("licence", "unknown")),
            "about": f"{model['name']} quantised to 8 bit with NNCF ({said})", "input": wants, "head": head}
    text.update({k: model[k] for k in ("labels", "dim") if k in model})
    files = [{"path": f.name, "size": f.stat().st_size, "sha256": describe.digest(f)} for f in (xml, xml.with_suffix(".bin"))]
    text["variants"] = [{"files": files}]
    path = xml.with_name(f"{name}.yaml")
    path.write_text(f"# INT8 form of {source.name}, made by framemill-export quantize\n"
                    + yaml.safe_dump(text, sort_keys=False, allow_unicode=True, width=160), encoding="utf-8")
    return path


def advice(report: dict[str, Any]) -> list[str]:
    kept = report.get("matched_share", report.get("same_first_class"))
    lines = []
    if kept is not None and kept < ENOUGH:
        lines.append(f"this model does not stand 8 bits: only {kept:.0%} of its answers are left; keep the original")
    if report["times_faster"] < 1:
        lines.append("on this machine the original is faster; keep the original")
    return lines


def quantize(args: argparse.Namespace) -> list[str]:
    ov = need("openvino", "openvino (pip install openvino)")
    model, source = read_description(pathlib.Path(args.model))
    name = describe.checked_name(args.name or f"{model['name']}-int8")
    file, wants, head = choose_variant(model, args.files or source.parent)
    paths = pictures.find(args.pictures)
    measured = paths[3::4]
    data = prepared([p for i, p in enumerate(paths) if i % 4 != 3], wants, max(1, args.subset))
    nncf, core = import_nncf(), ov.Core()
    args.out.mkdir(parents=True, exist_ok=True)
    xml = args.out / f"{name}.xml"
    if xml.resolve() == file.resolve():
        raise Refused(f"'{xml}' would be overwritten: choose another --name or --out")
    try:
        ov.save_model(quantised(nncf, load(core, file), data), str(xml), compress_to_fp16=False)
    except RuntimeError as e:
        raise Refused(f"model '{model['name']}' cannot be quantised: {first_line(e)}") from e
    report = measure(core, [file, xml], prepared(measured, wants, MEASURED), head, list(wants["size"]))
    report["calibrated_with"] = len(data)
    yaml = write_description(source, model, wants, head, name, xml, report)
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return [str(xml), str(yaml)] + [f"{k}: {v}" for k, v in report.items()] + advice(report)
