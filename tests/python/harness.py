# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The Python package in a folder of the test's own, with its own HOME and models; weights come from the shared data only."""
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("FM_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
DATA = pathlib.Path(os.environ.get("FM_DATA", ROOT / ".." / "shared" / "data"))
COMMAND = os.environ.get("FM_FRAMEMILL", "")
SANITIZED = os.environ.get("FM_SANITIZED") == "1"
VTEST = pathlib.Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
HOME = pathlib.Path(tempfile.mkdtemp(prefix="fm-python-"))

for name in [n for n in os.environ if n.startswith(("FRAMEMILL_M", "XDG_", "MODEL_PATH"))]:
    del os.environ[name]
os.environ |= {"HOME": str(HOME), "FRAMEMILL_MODEL_MIRROR": str(DATA / "models"), "FRAMEMILL_MODELS": str(HOME / "models")}

import numpy as np  # noqa: E402

import framemill  # noqa: E402
from framemill._lib import ffi, lib  # noqa: E402

#: A network of the library's own, without weights: blobs of saturated colours.
SHAPES = {"detector": "shapes:size=96x64", "backend": "ref", "threads": 2}


def need_model(name):
    """Fetches a model from the shared data, or skips the test by name."""
    try:
        return framemill.fetch_model(name)
    except framemill.FramemillError as e:
        raise unittest.SkipTest(f"model {name} is not to be had: {e}") from None


def scene(index=0, width=192, height=128):
    """A grey picture, B, G, R, with a red and a blue block that move."""
    image = np.full((height, width, 3), 110, np.uint8)
    image[20:60, 10 + 2 * index:50 + 2 * index] = (0, 0, 255)
    image[70:110, 120 - index:160 - index] = (255, 0, 0)
    return image


def own_memory():
    """Bytes and blocks that the library holds now, by module."""
    stats = ffi.new("fm_memory_stat[64]")
    n = lib.fm_memory_stats(stats, 64)
    return {ffi.string(stats[i].module).decode(): (stats[i].current_bytes, stats[i].blocks) for i in range(n)}


def resident_bytes():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main():
    try:
        unittest.main()
    finally:
        shutil.rmtree(HOME, ignore_errors=True)


__all__ = ["COMMAND", "DATA", "HOME", "ROOT", "SANITIZED", "SHAPES", "VTEST", "main", "need_model", "np", "own_memory",
           "resident_bytes", "scene", "sys"]
