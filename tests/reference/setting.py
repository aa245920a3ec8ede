# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Where tests find things, and the Python that has their packages."""

import os
import sys
from pathlib import Path

ROOT = Path(os.environ.get("FM_SOURCE_ROOT", Path(__file__).resolve().parents[2]))
DATA = Path(os.environ.get("FM_DATA", ROOT.parent / "shared" / "data"))


def skip(why):
    """Ends the test as one that could not be made here."""
    print(f"skipped: {why}")
    sys.exit(77)


def begin_again(missing):
    """In the Python of tests/requirements.txt, after an ImportError; skips where this is that one, or there is none."""
    python = ROOT / ".deps" / "test" / "bin" / "python3"
    if python.exists() and Path(sys.prefix).resolve() != (ROOT / ".deps" / "test").resolve():
        os.execv(str(python), [str(python), *sys.argv])
    skip(f"{missing} (tests/requirements.txt, into .deps/test)")
