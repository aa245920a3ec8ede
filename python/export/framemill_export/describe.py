# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Writes the YAML of a model, as share/framemill/models has them. JSON's strings, numbers and lists are YAML's too."""
from __future__ import annotations

import hashlib
import json
import pathlib
import re
from typing import Any

from . import Refused
from .network import Network


def checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise Refused(f"'{name}' is no name for a model: lower-case letters, digits, '.', '_' and '-' only; give one with --name")
    return name


def digest(path: pathlib.Path) -> str:
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


def flow(pairs: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{k}: {value(v)}" for k, v in pairs.items()) + "}"


def value(v: Any) -> str:
    if isinstance(v, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", v) and v not in ("null", "true", "false", "yes", "no", "on", "off"):
        return v
    if isinstance(v, float):
        return repr(int(v)) if v.is_integer() else repr(round(v, 6))
    if isinstance(v, (list, tuple)):
        return "[" + ", ".join(value(x) for x in v) + "]"
    return json.dumps(v, ensure_ascii=False)


def input_of(n: Network) -> dict[str, Any]:
    wants: dict[str, Any] = {"layout": "nchw", "size": list(n.size), "color": n.color, "mean": n.mean, "scale": n.scale, "fit": n.fit}
    if n.fit == "letterbox":
        wants.update(anchor=n.anchor, pad=n.pad)
    if n.fit == "crop" and n.crop_ratio:
        wants["crop_ratio"] = n.crop_ratio
    return wants


def write(n: Network, variants: list[tuple[str, list[pathlib.Path]]], path: pathlib.Path) -> None:
    lines = [f"name: {n.name}", f"task: {n.task}", f"version: {json.dumps(n.version)}", f"licence: {json.dumps(n.licence)}",
             f"about: {json.dumps(n.about, ensure_ascii=False)}", f"input: {flow(input_of(n))}", f"head: {flow(n.head)}"]
    if n.labels:
        lines.append(f"labels: {value(n.labels)}")
    if n.dim:
        lines.append(f"dim: {n.dim}")
    lines.append("variants:")
    for backend, files in variants:
        lines += [f"  - backend: {backend}", "    files:"] + [f"      - {flow_file(f)}" for f in files]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def flow_file(f: pathlib.Path) -> str:
    # quoted: a name or digest of digits alone would be a number
    return f"{{path: {json.dumps(f.name)}, size: {f.stat().st_size}, sha256: {json.dumps(digest(f))}}}"
