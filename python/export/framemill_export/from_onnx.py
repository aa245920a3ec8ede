# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""An ONNX file as TorchScript, for models that are published as ONNX only. The package onnx2torch rebuilds the graph as PyTorch modules; what
it made is traced with a batch of two and proved with a batch of three against the original, run a picture at a time by OpenVINO."""
from __future__ import annotations

import json
import pathlib
import re
import warnings
from typing import Any

from . import Refused, describe, need
from .checkpoint import first_line
from .save import PROOF_BATCH, compare, flat


def input_of(model: Any, path: pathlib.Path) -> tuple[int, int]:
    names = {i.name for i in model.graph.initializer}  # older files list these as inputs too
    inputs = [i for i in model.graph.input if i.name not in names]
    if len(inputs) != 1:
        raise Refused(f"'{path}' has {len(inputs)} inputs, expected one")
    dims = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
    if len(dims) != 4 or dims[1] != 3 or dims[2] <= 0 or dims[3] <= 0:
        raise Refused(f"the input of '{path}' is {dims}, expected [N, 3, height, width] with a fixed size")
    return dims[3], dims[2]


def tell_ranks(model: Any, onnx: Any) -> None:
    """onnx2torch asks for the rank of what enters a batch norm; behind a Reshape whose shape is computed it is not told, but what leaves
    a Gemm is always a matrix."""
    widths = {i.name: list(i.dims) for i in model.graph.initializer}
    told = {}
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1] in widths:
            is_transposed = any(a.name == "transB" and a.i for a in node.attribute)
            width = widths[node.input[1]][0 if is_transposed else 1]
            told[node.output[0]] = onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, ["batch", width])
    for info in model.graph.value_info:
        if info.name in told and not info.type.tensor_type.HasField("shape"):
            info.CopyFrom(told[info.name])
    model.graph.value_info.extend(v for name, v in told.items() if name not in {i.name for i in model.graph.value_info})


def on_data_path(graph: Any) -> set[Any]:
    """Nodes whose values come from the picture, not only from its shape."""
    found = set()
    for node in graph.nodes:
        comes = node.op == "placeholder" or any(n in found for n in node.all_input_nodes)
        if comes and not is_a(node, "OnnxShape"):
            found.add(node)
    return found


def is_a(node: Any, kind: str) -> bool:
    return node.op == "call_module" and type(node.graph.owning_module.get_submodule(node.target)).__name__ == kind


def free_reshapes(module: Any, x: Any) -> Any:
    """With batch 1 every shape is known. The batch is the outermost dimension of what comes from the picture, so a Reshape there may get
    [-1, known, known, ...], whatever computed its shape before, which tracing would make a literal (share/framemill/tools/derive.py does the
    same to OpenVINO's networks)."""
    torch = need("torch", "torch")
    fx = need("torch.fx", "torch")
    shapes: dict[Any, list[int]] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            result = super().run_node(n)
            if torch.is_tensor(result):
                shapes[n] = list(result.shape)
            return result

    Watch(module).run(x)
    for node in on_data_path(module.graph):
        shape = shapes.get(node, [])
        if is_a(node, "OnnxReshape") and shape[:1] == [1]:
            with module.graph.inserting_before(node):
                new = module.graph.call_method("reshape", (node.args[0], [-1] + shape[1:]))
            node.replace_all_uses_with(new)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def singles(path: pathlib.Path, x: Any) -> list[Any]:
    import numpy as np

    ov = need("openvino", "openvino (pip install openvino)")
    core = ov.Core()
    model = core.read_model(path)
    model.reshape([1] + list(x.shape[1:]))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = []
    for i in range(x.shape[0]):
        result = compiled(x[i:i + 1].numpy())
        rows.append([np.array(result[o]) for o in compiled.outputs])
    return [np.concatenate(one) for one in zip(*rows)]


def trace(path: pathlib.Path, width: int, height: int, part: pathlib.Path) -> str:
    torch = need("torch", "torch (Debian: apt-get install python3-torch)")
    onnx = need("onnx", "onnx (pip install onnx)")
    onnx2torch = need("onnx2torch", "onnx2torch (pip install --no-deps onnx2torch)")
    model = onnx.load(str(path))
    tell_ranks(model, onnx)
    module = onnx2torch.convert(model).eval()
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(PROOF_BATCH, 3, max(1, height // 16), max(1, width // 16), generator=generator)
    x = torch.nn.functional.interpolate(small, size=(height, width)) * 255
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(free_reshapes(module, x[:1]), x[:2], check_trace=False)
        torch.jit.save(made, str(part), _extra_files={"config.txt": json.dumps({"shape": [1, 3, height, width]})})
        got = [t.numpy() for t in flat(torch.jit.load(str(part))(x))]
    return f"proved: a batch of {PROOF_BATCH} differs from the original by {compare(singles(path, x), got, 'the file'):.2g} of the range"


def describe_as(yaml: str, path: pathlib.Path, name: str, out: pathlib.Path) -> pathlib.Path:
    """The original's description with this one file, under its own name."""
    text = pathlib.Path(yaml).read_text(encoding="utf-8")
    head = re.split(r"(?m)^variants:", text)[0]
    head = re.sub(r"(?m)^name:.*$", f"name: {name}", head)
    head = re.sub(r"(?m)^export:.*\n", "", head)
    target = out / f"{name}.yaml"
    target.write_text(f"{head}variants:\n  - backend: torch\n    files:\n      - {describe.flow_file(path)}\n", encoding="utf-8")
    return target


def convert(path: pathlib.Path, yaml: str | None, out: pathlib.Path, name: str | None) -> list[str]:
    onnx = need("onnx", "onnx (pip install onnx)")
    if not path.is_file():
        raise Refused(f"'{path}' is not there")
    if yaml and not pathlib.Path(yaml).is_file():
        raise Refused(f"--model '{yaml}' is not there")
    name = describe.checked_name(name or path.stem.lower())
    out.mkdir(parents=True, exist_ok=True)
    target, part = out / f"{name}.pt", out / f".part-{name}.pt"
    try:
        width, height = input_of(onnx.load(str(path), load_external_data=False), path)
        said = trace(path, width, height, part)
        part.replace(target)
    except Refused as e:
        raise Refused(f"'{path}': {e}; nothing was written") from e
    except Exception as e:  # onnx and onnx2torch raise what they like on files they do not know
        raise Refused(f"'{path}' cannot be turned into TorchScript: {first_line(e)}") from e
    finally:
        part.unlink(missing_ok=True)
    lines = [str(target)]
    if yaml:
        lines.append(str(describe_as(yaml, target, name, out)))
    return lines + [said]
