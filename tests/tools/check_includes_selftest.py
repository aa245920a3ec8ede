#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The include check must be able to fail: one wrong line of each kind is found in a made-up tree."""

import pathlib
import subprocess
import sys
import tempfile

WRONG = {
    "src/base/a.c": '#include "frame/frame.h"\n',
    "src/heads/a.c": '#include "infer/infer.h"\n',
    "src/ops/a.c": "#include <pthread.h>\n",
    "src/stream/a.c": "#include <libavcodec/avcodec.h>\n",
    "src/odd/a.c": "int x;\n",
    "cli/a.c": '#include "exec/executor.h"\n',
}


def main() -> int:
    check = pathlib.Path(sys.argv[1])
    missed = []
    for name, text in WRONG.items():
        with tempfile.TemporaryDirectory() as tmp:
            root = pathlib.Path(tmp)
            for i in range(30):
                good = root / "src/base" / f"good{i}.c"
                good.parent.mkdir(parents=True, exist_ok=True)
                good.write_text('#include "base/alloc.h"\n#include <stdio.h>\n')
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            run = subprocess.run([sys.executable, check, root], capture_output=True, text=True)
            if run.returncode != 1 or name not in run.stdout:
                missed.append(name)
    print(f"not found: {missed}" if missed else "every wrong line was found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
