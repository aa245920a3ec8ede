#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What --profile costs: the same run with it, without it and, for what it costs when it is off, with another build of framemill, in turns.

    bench/profile.py [--build build] [--other OTHER/cli/framemill] [--rounds 9] [--frames 600] VIDEO...

Processor time is the process's own (user and system, as wait4 tells), wall time what the report calls `seconds`: from the first thread's start
to the last sink's end. A ratio is taken within a round, whose runs follow one another; told are the median of the rounds and the least and
the most. Order changes from round to round, so that a machine that grows slower favours nobody."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(binary, args, folder, profile):
    report = folder / "report.json"
    command = [binary, "run", "--quiet", "--out", folder / "out", "--report", report, *args]
    if profile:
        command += ["--profile", folder / "profile.html"]
    child = subprocess.Popen([str(c) for c in command])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command} ended with {child.returncode}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": json.loads(report.read_text())["seconds"]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--other", help="a framemill without what is measured")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--frames", type=int, default=600, help="of each input")
    p.add_argument("--run-args", default="--tracker deepsort", help="of framemill run")
    p.add_argument("inputs", nargs="+")
    a = p.parse_args()
    mine = ROOT / a.build / "cli" / "framemill"
    args = [*a.run_args.split(), "--frames", a.frames, *a.inputs]
    sides = {"off": (mine, False), "on": (mine, True)}
    if a.other:
        sides["other"] = (a.other, False)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="fm-profile-") as folder:
        for n in range(a.rounds):
            names = list(sides)
            names = names[n % len(names):] + names[:n % len(names)]
            rounds.append({name: run(sides[name][0], args, pathlib.Path(folder), sides[name][1]) for name in names})
    print(f"{len(rounds)} rounds of: framemill run {' '.join(map(str, args))}")
    for what in ("cpu", "wall"):
        print(f"{what}, seconds, median: " + ", ".join(f"{s} {statistics.median(r[s][what] for r in rounds):.3f}" for s in sides))
        for name, base in (("on", "off"), ("off", "other")):
            if base in sides:
                ratios = [r[name][what] / r[base][what] for r in rounds]
                print(f"  {name} / {base}: median {statistics.median(ratios):.4f}, {min(ratios):.4f} to {max(ratios):.4f}; "
                      f"of the least {min(r[name][what] for r in rounds) / min(r[base][what] for r in rounds):.4f}")


if __name__ == "__main__":
    main()
