# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Writes a network as ONNX or TorchScript and proves the file: other inputs and another batch than it was made with, through the file
and through the module, give the same within a tolerance; or nothing is left behind."""
from __future__ import annotations

import json
import pathlib
import warnings
from typing import Any

from . import Refused, describe, need
from .checkpoint import first_line
from .network import Network

# Of an output's range. Other kernels sum in another order; a wrong batch or a lost layer differs by the range itself.
TOLERANCE = 1e-3
PROOF_BATCH = 3


def example(n: Network, rows: int, seed: int = 7) -> Any:
    """Pictures of coarse blocks, each another one, as the network wants them."""
    torch = need("torch", "torch")
    generator = torch.Generator().manual_seed(seed)
    w, h = n.size
    coarse = torch.rand(rows, 3, max(1, h // 16), max(1, w // 16), generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, size=(h, w), mode="nearest") * 255
    mean, scale = [torch.tensor(v if isinstance(v, list) else [v] * 3, dtype=torch.float32).view(1, 3, 1, 1) for v in (n.mean, n.scale)]
    return (pixels - mean) / scale


def flat(result: Any) -> list[Any]:
    torch = need("torch", "torch")
    if torch.is_tensor(result):
        return [result]
    if isinstance(result, dict):
        result = list(result.values())
    return [t for item in result for t in flat(item)]


def compare(wanted: list[Any], got: list[Any], what: str) -> float:
    import numpy as np

    if len(wanted) != len(got):
        raise Refused(f"{what} has {len(got)} outputs, the network has {len(wanted)}")
    worst = 0.0
    for i, (a, b) in enumerate(zip(wanted, got)):
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        if a.shape != b.shape:
            raise Refused(f"output {i} of {what} is {list(b.shape)}, the network's is {list(a.shape)}")
        difference = float(np.abs(a - b).max(initial=0)) / max(float(np.ptp(a)) if a.size else 0.0, 1e-6)
        if not difference <= TOLERANCE:
            raise Refused(f"output {i} of {what} differs from the network's by {difference:.2g} of its range")
        worst = max(worst, difference)
    return worst


def torchscript(n: Network, path: pathlib.Path) -> None:
    torch = need("torch", "torch")
    x = example(n, 2)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.script(n.module) if n.is_scripted else torch.jit.trace(n.module, x, check_trace=False)
    # the place where Ultralytics' exports say their size too; framemill reads it from a file without a YAML
    config = json.dumps({"shape": [1, 3, n.size[1], n.size[0]]})
    torch.jit.save(made, str(path), _extra_files={"config.txt": config})


def onnx(n: Network, path: pathlib.Path) -> None:
    torch = need("torch", "torch")
    rows = 2 if n.is_batch_free else 1
    axes = {name: {0: "batch"} for name in ["images"] + n.outputs} if n.is_batch_free else None
    more: dict[str, Any] = {}
    if tuple(int(v) for v in torch.__version__.split(".")[:2]) >= (2, 5):
        more["dynamo"] = False  # the exporter that knows dynamic_axes
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(n.module, example(n, rows), str(path), input_names=["images"], output_names=n.outputs, dynamic_axes=axes,
                          opset_version=n.opset, do_constant_folding=True, **more)


def run_torchscript(path: pathlib.Path, x: Any) -> list[Any]:
    torch = need("torch", "torch")
    with torch.no_grad():
        return [t.numpy() for t in flat(torch.jit.load(str(path)).eval()(x))]


def run_onnx(path: pathlib.Path, x: Any) -> list[Any] | None:
    try:
        import openvino as ov
    except ImportError:
        return None
    core = ov.Core()
    model = core.read_model(path)
    model.reshape(list(x.shape))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(x.numpy())
    return [result[o] for o in compiled.outputs]


def prove(n: Network, path: pathlib.Path, is_torchscript: bool) -> str:
    torch = need("torch", "torch")
    rows = PROOF_BATCH if is_torchscript or n.is_batch_free else 1
    x = example(n, rows, seed=8)
    got = run_torchscript(path, x) if is_torchscript else run_onnx(path, x)
    if got is None:
        return "not proved: the Python package openvino is not installed"
    with torch.no_grad():
        wanted = [t.numpy() for t in flat(n.module(x))]
    if not n.is_comparable:
        if [list(a.shape) for a in wanted] != [list(b.shape) for b in got]:
            raise Refused("the file's outputs have other shapes than the network's")
        return f"proved: a batch of {rows} has the shapes of the network's"
    return f"proved: a batch of {rows} differs from the network by {compare(wanted, got, 'the file'):.2g} of the range"


def width_of(n: Network) -> int:
    torch = need("torch", "torch")
    with torch.no_grad():
        return int(flat(n.module(example(n, 1)))[0].shape[1])


def save(n: Network, fmt: str, out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, str]:
    """The weights' file and its YAML in the folder `out`, and what was proved."""
    describe.checked_name(n.name)
    out.mkdir(parents=True, exist_ok=True)
    is_torchscript = fmt == "torchscript"
    path = out / f"{n.name}{'.pt' if is_torchscript else '.onnx'}"
    part = path.with_name(f".part-{path.name}")
    n.module.eval()
    if n.task == "features":
        n.dim = width_of(n)
    try:
        (torchscript if is_torchscript else onnx)(n, part)
        said = prove(n, part, is_torchscript)
        part.replace(path)
    except Refused as e:
        raise Refused(f"model '{n.name}': {e}; nothing was written") from e
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as e:
        raise Refused(f"model '{n.name}' cannot be written as {fmt}: {first_line(e)}") from e
    finally:
        part.unlink(missing_ok=True)
    yaml = out / f"{n.name}.yaml"
    variants = [("torch" if is_torchscript else "openvino", [path])]
    other = path.with_suffix(".onnx" if is_torchscript else ".pt")
    if yaml.is_file() and other.is_file() and describe.digest(other) in yaml.read_text(encoding="utf-8"):
        variants.append(("openvino" if is_torchscript else "torch", [other]))  # the other form, exported before
    describe.write(n, sorted(variants), yaml)
    return path, yaml, said
