# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The C library: found, loaded, called. Every call through here lets other Python threads run meanwhile."""
from __future__ import annotations

import ctypes
import importlib.util
import os
import pathlib
from typing import Any, Callable

from _framemill_abi import ffi as ffi

from .errors import BY_STATUS, Closed, FramemillError

HERE = pathlib.Path(__file__).resolve().parent


def _load_openvino() -> None:
    """OpenVINO's libraries lie in its own package; one that is loaded already is found by its name, wherever that package is."""
    spec = importlib.util.find_spec("openvino")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(pathlib.Path(place, "libs").glob("libopenvino_c.so.*")):
            ctypes.CDLL(str(path))
            return


def _load() -> Any:
    path = pathlib.Path(os.environ.get("FRAMEMILL_LIBRARY") or HERE / "native" / "libframemill.so.0")
    _load_openvino()
    try:
        found = ffi.dlopen(str(path))
    except OSError as e:
        raise ImportError(f"the library framemill cannot be loaded: {e}. Install the package with: pip install ./python "
                          "(or set FRAMEMILL_LIBRARY to a libframemill.so.0 that was built)") from e
    # The largest struct says whether both are of one build; it may be larger over there.
    room = ffi.new("char[]", 1 << 16)
    opts = ffi.cast("fm_run_opts *", room)
    found.fm_run_opts_init(opts)
    if opts.struct_size != ffi.sizeof("fm_run_opts"):
        raise ImportError(f"'{path}' is of another build than this package: install the package anew with: pip install ./python")
    return found


lib = _load()
NULL = ffi.NULL
OK: int = lib.FM_OK
PTS_NONE = -(1 << 63)


def text(value: Any) -> str | None:
    """A C string, or None."""
    return None if value == NULL else str(ffi.string(value).decode("utf-8", "replace"))


def take_text(value: Any) -> str:
    """A C string that is the caller's; it is freed."""
    out = text(value) or ""
    lib.fm_free(value)
    return out


def check(status: int, err: Any) -> None:
    """Raises what the error says, unless status is OK."""
    if status == OK:
        return
    name = text(lib.fm_status_name(status)) or "INTERNAL"
    message = text(err.msg) or text(lib.fm_status_text(status)) or name
    raise BY_STATUS.get(name, FramemillError)(message, name, int(err.native))


def call(fn: Callable[..., int], *args: Any) -> None:
    """A C function whose last parameter is its error."""
    err = ffi.new("fm_error *")
    check(fn(*args, err), err)


class Owned:
    """A C object with one owner. It is freed when nobody holds it any more: results hold the object they came from."""

    def __init__(self, pointer: Any, free: Callable[[Any], Any]) -> None:
        self.pointer = pointer
        self._free = free
        self._pid = os.getpid()

    def get(self) -> Any:
        if self._pid != os.getpid():
            raise Closed("this object was made before the process forked, and its threads are not here: make it anew in this process",
                         "INVAL")
        return self.pointer

    def __del__(self) -> None:
        # In a forked process its threads do not exist: nothing can be waited for, so nothing is freed.
        if self._pid == os.getpid():
            self._free(ffi.new(ffi.typeof(self.pointer).cname + " *", self.pointer))
