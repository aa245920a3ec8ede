# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Ray, where it is installed, and the way to a cluster. This module alone imports it."""
from __future__ import annotations

import importlib
import logging
import os
import socket
from typing import Any

from ..errors import FramemillError, InvalidArgument, MissingPackage

COMMAND = "pip install 'ray[data]==2.60.0'"
REACH_S = 5.0

log = logging.getLogger("framemill.ray")


def need_ray() -> Any:
    """The package ray, or MissingPackage with the command that installs it."""
    # Nobody asked for statistics about their cluster to be sent away.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A worker without GPUs sees none, as `num_gpus=0` says, and as Ray will do by default.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as e:
        raise MissingPackage(f"framemill.ray needs the package ray: {COMMAND}", "UNSUPPORTED") from e


def _reachable(address: str) -> None:
    """Raises when nothing listens there: Ray itself tries for a minute before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InvalidArgument(f"the address '{address}' is none of a cluster; HOST:PORT, ray://HOST:PORT or auto was expected", "INVAL")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as e:
        raise _unreachable(address) from e


def _unreachable(address: str) -> FramemillError:
    return FramemillError(f"no Ray cluster answers at '{address}': start one with `ray start --head`, or leave the address out for a "
                          "cluster of this machine alone", "IO")


def connect(address: str | None = None) -> bool:
    """Joins the cluster at address ("auto": the one of this machine; None: $RAY_ADDRESS, else a new one of this machine alone), unless
    this process has joined one. True: it was joined here, and leaving it is the caller's."""
    ray = need_ray()
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address not in ("auto", "local"):
        _reachable(address)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False,
                 **({} if address and address != "local" else {"include_dashboard": False}))
    except ConnectionError as e:
        raise _unreachable(address or "local") from e
    return True


def leave() -> None:
    need_ray().shutdown()


def reason(error: BaseException) -> str:
    """A failure of Ray's in one line, without its advice."""
    said = " ".join(str(error).split())
    for start in ("Worker exit detail: ", "cause: "):
        said = said.rpartition(start)[2]
    return said.partition(" Some common causes")[0].partition(" (1) ")[0][:300] or type(error).__name__
