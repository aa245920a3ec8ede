# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Reads checkpoints. A .pt or .pth file is a pickle, and a pickle is a program: reading one from a stranger runs what the stranger wrote.
torch.load's weights_only (PyTorch 1.13 and newer) knows tensors and plain containers and refuses all else; so does this module, unless
it is told to trust the file."""
from __future__ import annotations

import pathlib
import pickle
import re
import sys
import zipfile
from typing import Any

from . import Refused, need

# Modules that checkpoints name, and what brings them.
BRINGS = {
    "ultralytics": "the package ultralytics is needed: pip install ultralytics (AGPL-3.0)",
    "models": "YOLOv5's own code is needed: give a checkout of its repository with --code DIR",
    "utils": "YOLOv5's own code is needed: give a checkout of its repository with --code DIR",
    "timm": "the package timm is needed: pip install timm",
    "torchvision": "the package torchvision is needed: apt-get install python3-torchvision, or pip install torchvision",
}


def is_torchscript(path: pathlib.Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as z:
        return any(name.endswith("/constants.pkl") for name in z.namelist())


def read(path: str, trust: bool, code: str | None = None) -> Any:
    """What torch.save wrote into the file."""
    torch = need("torch", "torch (Debian: apt-get install python3-torch)")
    file = pathlib.Path(path)
    if not file.is_file():
        raise Refused(f"checkpoint '{path}' is not there")
    if is_torchscript(file):
        raise Refused(f"'{path}' is TorchScript already: framemill runs it as it is")
    if code:
        if not pathlib.Path(code).is_dir():
            raise Refused(f"--code '{code}' is no folder")
        sys.path.insert(0, str(pathlib.Path(code).resolve()))
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except ModuleNotFoundError as e:
        module = (e.name or "").split(".")[0]
        raise Refused(f"checkpoint '{path}': {BRINGS.get(module, f'the Python module {e.name} is needed')}") from e
    except pickle.UnpicklingError as e:
        if trust:
            raise Refused(f"checkpoint '{path}' is damaged: {first_line(e)}") from e
        raise Refused(f"checkpoint '{path}' holds more than weights, and reading it would run code of whoever made it "
                      f"({what_more(e)}); if you trust them, give --trust") from e
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as e:
        raise Refused(f"checkpoint '{path}' cannot be read: {first_line(e)}") from e


def what_more(e: BaseException) -> str:
    """The class that the file names, out of a message that goes on about it at length."""
    found = re.search(r"(?:class|[Gg]lobal|GLOBAL)[: ]+`?([\w.]+\.[\w.]+)", str(e))
    return found.group(1).rstrip(".") if found else "Python objects"


def first_line(e: BaseException) -> str:
    """What an exception says, in one line: under a traceback of TorchScript the last one tells, else the first."""
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    telling = -1 if "TorchScript interpreter" in str(e) else 0
    return lines[telling][:200] if lines else type(e).__name__


def weights_of(loaded: Any, path: str) -> dict[str, Any]:
    """The state dictionary in what was read, wherever the usual trainers put it."""
    torch = need("torch", "torch")
    for key in ("state_dict", "model_state_dict", "model", "model_ema"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not loaded or not all(torch.is_tensor(v) for v in loaded.values()):
        raise Refused(f"checkpoint '{path}' holds no dictionary of weights")
    # DataParallel and torch.compile put their own name in front of every key
    for prefix in ("module.", "_orig_mod."):
        if all(k.startswith(prefix) for k in loaded):
            loaded = {k[len(prefix):]: v for k, v in loaded.items()}
    return loaded


def fill(module: Any, weights: dict[str, Any], path: str) -> None:
    """Puts weights into a network; every one must have its place."""
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False)
    except RuntimeError as e:
        lines = str(e).splitlines()
        raise Refused(f"the weights of '{path}' do not fit this architecture: {(lines[1] if len(lines) > 1 else lines[0]).strip()[:200]}") from e
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    if missing or unexpected:
        names = ", ".join((missing + list(unexpected))[:3])
        raise Refused(f"the weights of '{path}' do not fit this architecture: {len(missing)} are missing and {len(unexpected)} have no place ({names})")
