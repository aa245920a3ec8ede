#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run costs with the store on: the same run with and without `--store`, in turns. Every frame as JPEG and all
metadata.

    python3 bench/store/pipeline.py VIDEO [--framemill build/cli/framemill] [--streams 4] [--frames 150] [--rounds 5]
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile


def children_cpu():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def run(args, folder, store):
    report = folder / "report.json"
    before = children_cpu()
    subprocess.run([args.framemill, "run", "--quiet", "--detector", args.detector, "--tracker", "bytetrack", "--frames",
                    str(args.frames), "--out", folder / "out", "--report", report,
                    *(["--store", folder / "store"] if store else []), *[args.video] * args.streams], check=True)
    r = json.loads(report.read_text())
    return r["fps"], (children_cpu() - before) / r["frames"] * 1e3, r


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("video")
    p.add_argument("--framemill", default="build/cli/framemill")
    p.add_argument("--detector", default="yolox-nano")
    p.add_argument("--streams", type=int, default=4)
    p.add_argument("--frames", type=int, default=150)
    p.add_argument("--rounds", type=int, default=5)
    args = p.parse_args()
    rates, cpus = [], []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as top:
            got = {}
            for store in (False, True):
                folder = pathlib.Path(top) / str(store)
                folder.mkdir()
                got[store] = run(args, folder, store)
            rates.append(got[True][0] / got[False][0])
            cpus.append(got[True][1] / got[False][1])
            ack = got[True][2].get("store", {})
        print(f"rate {got[True][0]:6.1f} with, {got[False][0]:6.1f} without: {rates[-1]:.3f};  "
              f"processor {got[True][1]:5.2f} and {got[False][1]:5.2f} ms a frame: {cpus[-1]:.3f}  {json.dumps(ack)}")
    print(f"median of {args.rounds}: rate {statistics.median(rates):.3f}, processor time {statistics.median(cpus):.3f}")


if __name__ == "__main__":
    main()
