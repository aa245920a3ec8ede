# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Turns PyTorch checkpoints into files that framemill runs: ONNX with a free batch, or TorchScript, and the YAML that describes them."""


class Refused(Exception):
    """Something cannot be done; the message is one line that says what, which and what to do."""


def need(module: str, package: str):
    """Imports a module of an optional package, or says which package to install."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise Refused(f"this needs the Python package {package}, which is not installed ({e})") from e
