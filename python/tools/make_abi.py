# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Turns the public headers into the module that the Python package calls the library through: make_abi.py INCLUDE OUT.py.

The declarations are the headers' own, run through the C preprocessor, so they cannot drift from the library. The module is
pure Python (cffi, ABI mode): one wheel serves every Python 3, and no compiler is needed where it is installed."""
from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import cffi

# cffi knows their types itself.
SYSTEM = ("stdbool.h", "stddef.h", "stdint.h")


def declarations(include: pathlib.Path) -> str:
    with tempfile.TemporaryDirectory() as empty:
        for name in SYSTEM:
            pathlib.Path(empty, name).touch()
        cc = os.environ.get("CC", "cc").split()
        # Without __GNUC__ the headers have no attributes.
        text = subprocess.run([*cc, "-E", "-P", "-undef", "-nostdinc", "-I", empty, "-I", str(include), "-x", "c", "-"], check=True,
                              input="#include <framemill/framemill.h>\n", stdout=subprocess.PIPE, text=True).stdout
    # Bodies are for compilers; Python reads masks with numpy.
    return re.sub(r"static inline[^;{]*\{.*?\n\}", "", text, flags=re.S)


def main() -> None:
    include, out = (pathlib.Path(a) for a in sys.argv[1:])
    ffi = cffi.FFI()
    ffi.cdef(declarations(include))
    ffi.set_source(out.stem, None)
    ffi.emit_python_code(str(out))


if __name__ == "__main__":
    main()
