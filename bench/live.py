#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Batches that follow the load (`--latency-goal-ms`) against every fixed batch and timeout, on live streams: videos paced
by their clock, so that a run drops frames when it is behind. Read from outside: the time at which each result line
arrives, less the frame's own time, less the least of these in the stream, is how late it is; a frame is in time when that
and the time of one inference alone are within the goal. Dropped frames are never in time.

    python3 bench/live.py --framemill build/cli/framemill VIDEO [--goal 100] [--streams 2,4,6,8] [--rounds 2]
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

FIXED = [(batch, wait) for batch in (1, 2, 4, 8) for wait in (0, 20, 50)]


def run(args, streams, extra):
    """Arrival less frame time in ms, by stream."""
    command = [args.framemill, "run", "--quiet", "--realtime", "--detector", args.detector, "--frames", str(args.frames),
               *extra, *[args.video] * streams]
    late = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            now = time.monotonic() * 1e3
            r = json.loads(line)
            late.setdefault(r["stream"], []).append(now - r["pts_ms"])
    if p.returncode:
        sys.exit(f"{' '.join(command)}: exit code {p.returncode}")
    return late


def alone_ms(args):
    """One inference, from the command's own report, one stream and nothing to wait for."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        subprocess.run([args.framemill, "run", "--quiet", "--detector", args.detector, "--frames", "60", "--batch", "1",
                        "--workers", "1", "--report", report, args.video], check=True, stdout=subprocess.DEVNULL)
        return json.loads(report.read_text())["stages"]["infer"]["p50_ms"]


def in_time(args, late, streams, alone):
    """Share of all frames that were due."""
    good = sum(sum(v - min(values) + alone <= args.goal for v in values) for values in late.values())
    return good / (streams * args.frames)


def measure(args, streams, alone):
    settings = {"follows": ["--latency-goal-ms", str(args.goal)]}
    for batch, wait in FIXED:
        settings[f"batch {batch}, {wait} ms"] = ["--batch", str(batch), "--batch-timeout-ms", str(wait)]
    shares = {name: [] for name in settings}
    for _ in range(args.rounds):
        for name, extra in settings.items():
            shares[name].append(in_time(args, run(args, streams, extra), streams, alone))
    return {name: statistics.median(v) for name, v in shares.items()}


def table(args, rows):
    lines = [f"Frames in time (goal {args.goal} ms) of all that were due, median of {args.rounds}, {args.frames} frames a stream.", "",
             "| streams | follows the load | best fixed | worst fixed | follows / best |", "|---|---|---|---|---|"]
    for streams, shares in rows:
        fixed = {k: v for k, v in shares.items() if k != "follows"}
        best, worst = max(fixed, key=fixed.get), min(fixed, key=fixed.get)
        lines.append(f"| {streams} | {shares['follows']:.3f} | {best}: {fixed[best]:.3f} | {worst}: {fixed[worst]:.3f} | "
                     f"{shares['follows'] / max(fixed[best], 1e-9):.3f} |")
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("video")
    p.add_argument("--framemill", default="build/cli/framemill")
    p.add_argument("--detector", default="yolox-nano")
    p.add_argument("--goal", type=float, default=100)
    p.add_argument("--frames", type=int, default=120)
    p.add_argument("--streams", type=lambda s: [int(n) for n in s.split(",")], default=[2, 4, 6, 8])
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--out", help="also a file for the table")
    args = p.parse_args()
    alone = alone_ms(args)
    rows = [(n, measure(args, n, alone)) for n in args.streams]
    text = f"One inference alone: {alone:.1f} ms.\n" + table(args, rows)
    print(text, end="")
    if args.out:
        pathlib.Path(args.out).write_text(text)


if __name__ == "__main__":
    main()
