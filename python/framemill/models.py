# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Models: where they lie, which there are, how to get one. As with the command, weights lie in $FRAMEMILL_MODELS, else $MODEL_PATH,
else the XDG data folder."""
from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import Any, Protocol

from ._lib import HERE, Owned, call, ffi, lib, text
from .errors import InvalidArgument, MissingPackage, NotFound

SOURCE = HERE.parents[1]


class _Strings(Protocol):
    def string(self, value: str) -> Any: ...


@dataclass(frozen=True)
class Model:
    """One model of the catalogue."""
    name: str
    task: str
    version: str
    licence: str
    about: str
    head: str
    width: int
    height: int
    labels: int
    size_bytes: int
    state: str  # "missing", "installed", "damaged"


def _env(name: str) -> str | None:
    return os.environ.get(name) or None


def _xdg(variable: str, fallback: str, leaf: str) -> str | None:
    base = _env(variable)
    if base and base.startswith("/"):
        return os.path.join(base, leaf)
    return os.path.join(os.path.expanduser("~"), fallback, leaf)


def share_dir() -> str:
    """The folder of model descriptions: $FRAMEMILL_SHARE, the package's own, or the source tree's."""
    places = [_env("FRAMEMILL_SHARE"), HERE / "share", SOURCE / "share" / "framemill"]
    for place in places:
        if place and pathlib.Path(place, "models").is_dir():
            return str(place)
    raise NotFound("the folder share/framemill is not where the package was installed; set FRAMEMILL_SHARE to its path", "NOTFOUND")


def models_dir() -> str:
    return _env("FRAMEMILL_MODELS") or _env("MODEL_PATH") or _xdg("XDG_DATA_HOME", ".local/share", "framemill/models") or "models"


def cache_dir() -> str | None:
    return _xdg("XDG_CACHE_HOME", ".cache", "framemill/compiled")


def tuning_file() -> str | None:
    return _xdg("XDG_CONFIG_HOME", ".config", "framemill/tuning.yaml")


def _exporter() -> tuple[str | None, str | None]:
    """framemill-export and its Python: the source tree's, else the one that is installed."""
    tool, python = SOURCE / "python" / "export" / "framemill-export", SOURCE / ".deps" / "export" / "bin" / "python3"
    if tool.exists() and python.exists():
        return str(tool), str(python)
    return shutil.which("framemill-export"), None


def store_opts(strings: _Strings) -> Any:
    """fm_model_store_opts; `strings` keeps its texts alive."""
    o = ffi.new("fm_model_store_opts *")
    o.struct_size = ffi.sizeof("fm_model_store_opts")
    o.share_dir, o.models_dir = strings.string(share_dir()), strings.string(models_dir())
    exporter, exporter_python = _exporter()
    for field, value in (("mirror_dir", _env("FRAMEMILL_MODEL_MIRROR")), ("python", _env("FRAMEMILL_PYTHON") or sys.executable),
                         ("exporter", exporter), ("exporter_python", exporter_python)):
        if value:
            setattr(o, field, strings.string(value))
    return o


class _Store:
    def __init__(self) -> None:
        self._keep: list[Any] = []
        out = ffi.new("fm_model_store **")
        call(lib.fm_model_store_open, store_opts(self), out)
        self._owned = Owned(out[0], _close_store)
        self.pointer = out[0]

    def string(self, value: str) -> Any:
        self._keep.append(ffi.new("char[]", value.encode()))
        return self._keep[-1]


def _close_store(pointer: Any) -> None:
    lib.fm_model_store_close(pointer)


def _model_of(info: Any) -> Model:
    states = {lib.FM_MODEL_MISSING: "missing", lib.FM_MODEL_INSTALLED: "installed", lib.FM_MODEL_DAMAGED: "damaged"}
    words = {k: text(getattr(info, k)) or "" for k in ("name", "task", "version", "licence", "about", "head")}
    return Model(**words, width=info.width, height=info.height, labels=info.label_count, size_bytes=info.size_bytes,
                 state=states[info.state])


def available() -> list[Model]:
    """All models that have a description."""
    store, info = _Store(), ffi.new("fm_model_info *")
    out = []
    for i in range(lib.fm_model_store_count(store.pointer)):
        lib.fm_model_store_get(store.pointer, i, info)
        out.append(_model_of(info))
    return out


def find(name: str) -> Model | None:
    """The model of this name, or None."""
    return next((m for m in available() if m.name == name), None)


def fetch(name: str, accept_licence: bool = False, force: bool = False) -> Model:
    """Brings a model's weights, from $FRAMEMILL_MODEL_MIRROR or its official address, and checks them. Models whose licence asks for
    more than naming need accept_licence."""
    store, opts = _Store(), ffi.new("fm_model_fetch_opts *")
    opts.struct_size = ffi.sizeof("fm_model_fetch_opts")
    opts.accept_licence, opts.force = accept_licence, force
    call(lib.fm_model_fetch, store.pointer, name.encode(), opts)
    found = find(name)
    assert found is not None  # it was just fetched
    return found


def is_checkpoint(path: pathlib.Path) -> bool:
    """A pickled PyTorch checkpoint, rather than TorchScript (whose archive holds code) or another kind of file?"""
    if path.suffix not in (".pt", ".pth"):
        return False
    if not zipfile.is_zipfile(path):
        return True  # PyTorch before 1.6
    with zipfile.ZipFile(path) as z:
        return not any("/code/" in name for name in z.namelist())


def _arch_of(path: pathlib.Path) -> str:
    name = path.name.lower()
    if name.startswith("yolov5"):
        return "yolov5"
    if name.startswith(("yolov8", "yolo11", "yolo12", "yolov9", "yolov10")):
        return "ultralytics"
    raise InvalidArgument(f"'{path}' is a pickled checkpoint and its name does not say of which network: give arch= (ultralytics, yolov5, "
                          "torchvision:NAME, timm:NAME), or convert it with: framemill-export checkpoint", "INVAL")


def _digest(path: pathlib.Path) -> str:
    h = hashlib.sha256()
    with path.open("rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()[:16]


def convert(path: pathlib.Path, trust: bool = False, arch: str | None = None) -> pathlib.Path:
    """A checkpoint as an ONNX file with its description, made once. Only weights are read; `trust` runs what the pickle says."""
    arch = arch or _arch_of(path)
    root = _xdg("XDG_CACHE_HOME", ".cache", "framemill/converted")
    assert root is not None
    out = pathlib.Path(root, f"{_digest(path)}-{arch.replace(':', '-')}")
    done = out / f"{path.stem}.yaml"
    if done.exists():
        return done
    exporter, python = _exporter()
    if not exporter:
        raise MissingPackage(f"'{path}' is a pickled checkpoint; converting it needs framemill-export and PyTorch: "
                             "pip install ./python/export torch", "UNSUPPORTED")
    out.mkdir(parents=True, exist_ok=True)
    command = [*([python] if python else []), exporter, "checkpoint", "--arch", arch, *(["--trust"] if trust else []),
               "--name", path.stem, "--out", str(out), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode != 0 or not done.exists():
        lines = (run.stderr or run.stdout).strip().splitlines()
        raise InvalidArgument(f"'{path}' could not be converted: {lines[-1] if lines else 'framemill-export failed'}"
                              + ("" if trust else " (trust=True stands for --trust)"), "UNSUPPORTED")
    return done


def resolve(model: str, trust: bool = False, arch: str | None = None) -> str:
    """What the library takes: names and files as they are, a pickled checkpoint converted."""
    path = pathlib.Path(model)
    return str(convert(path, trust, arch)) if path.is_file() and is_checkpoint(path) else model


__all__ = ["Model", "available", "convert", "fetch", "find", "models_dir", "resolve", "share_dir"]
