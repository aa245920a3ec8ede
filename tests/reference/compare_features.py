#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Are features right? compare_features.py FRAMEMILL DUMP_FEATURES MODEL

Crops, network and head of framemill on the people of PETS09-S2L1's ground truth in vtest.avi (the same recording), set
beside reference_features.py, which says what is held. Exit 77, a skip, names what is missing."""

import subprocess
import sys
import tempfile
from pathlib import Path

import compare

BOXES = compare.DATA / "mot" / "PETS09-S2L1" / "gt.txt"
WEIGHTS = {"osnet-x0.25": "osnet_x0_25_msmt17.onnx", "mobilenetv2-features": "tf2_mobilenet_v2_dyn.xml"}
FRAMES = "60"


def main():
    exe, dump, model = sys.argv[1:4]
    weights = compare.DATA / "models" / WEIGHTS[model]
    for path in (compare.VIDEO, BOXES, weights):
        if not path.is_file():
            compare.skip(f"{path} is missing")
    compare.need_python()
    with tempfile.TemporaryDirectory() as folder:
        models, out = Path(folder) / "models", Path(folder) / "out"
        env = compare.environment(models)
        compare.command([exe, "models", "fetch", model], env)
        compare.command([dump, model, models, compare.VIDEO, BOXES, out, FRAMES], env)
        args = [compare.PYTHON, compare.HERE / "reference_features.py", out, "--model", model]
        args += ["--models", compare.DATA / "models", "--video", compare.VIDEO, "--boxes", BOXES, "--frames", FRAMES]
        sys.exit(subprocess.run([str(a) for a in args], env=env, check=False).returncode)


if __name__ == "__main__":
    main()
