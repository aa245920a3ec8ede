#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is what `framemill tune` picks as good as the best of the full grid, and what does it cost? For each model: the grid
once, every setting measured in full, and the search several times, one before the grid and the others behind it. The
rate of what a search picked is the grid's own measurement of that setting."""

import argparse
import json
import pathlib
import subprocess
import sys


def tune(args, model, flag, grid):
    command = [args.framemill, "tune", *args.inputs, f"--{flag}", model, "--no-save", "--json", "--quiet",
               "--frames", str(args.frames), "--max-batch", str(args.max_batch), "--sample-ms", str(args.sample_ms)]
    done = subprocess.run(command + (["--grid"] if grid else []), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)[0]


def name(row):
    return row["batch"], row["slots"], row["threads"]


def measure(args, model, flag):
    searches = [tune(args, model, flag, False)]
    grid = tune(args, model, flag, True)
    searches += [tune(args, model, flag, False) for _ in range(args.runs - 1)]
    rates = {name(r): r["fps"] for r in grid["settings"] if r["state"] == "measured"}
    best = max(rates, key=rates.get)
    picks = [next(r for r in s["settings"] if r.get("best")) for s in searches]
    return {
        "model": model, "cpu": grid["cpu"], "cores": grid["cores"], "backend": grid["backend"],
        "grid_s": grid["seconds"], "search_s": [s["seconds"] for s in searches],
        "opened": [sum(r["state"] == "measured" for r in s["settings"]) for s in searches], "settings": len(rates),
        "best": best, "best_fps": rates[best], "picks": [name(p) for p in picks],
        "of_best": [rates[name(p)] / rates[best] for p in picks],
        "of_time": [s["seconds"] / grid["seconds"] for s in searches],
        "least_share": min(r["share"] for r in grid["settings"] if r["state"] == "measured"),
        "rates": [[*k, v] for k, v in sorted(rates.items())],
    }


def table(rows):
    lines = ["| model | settings | best of the grid | searches picked | of the best | of the grid's time | opened |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append("| {} | {} | {}: {:.1f}/s | {} | {} | {} | {} |".format(
            r["model"], r["settings"], "x".join(map(str, r["best"])), r["best_fps"],
            ", ".join("x".join(map(str, p)) for p in r["picks"]), ", ".join(f"{v:.3f}" for v in r["of_best"]),
            ", ".join(f"{v:.2f}" for v in r["of_time"]), ", ".join(map(str, r["opened"]))))
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--framemill", default="build/cli/framemill")
    p.add_argument("--model", action="append", default=[], help="FLAG=NAME: detector=yolox-nano; several times")
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--frames", type=int, default=32)
    p.add_argument("--max-batch", type=int, default=64)
    p.add_argument("--sample-ms", type=float, default=250)
    p.add_argument("--out", help="write OUT.json and OUT.md")
    p.add_argument("inputs", nargs="*")
    args = p.parse_args()
    rows = []
    for text in args.model or ["detector=yolox-nano", "classifier=efficientnet-lite0", "embedder=osnet-x0.25"]:
        flag, model = text.split("=", 1)
        rows.append(measure(args, model, flag))
        print(table(rows[-1:]), flush=True)
        if args.out:
            pathlib.Path(args.out + ".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            pathlib.Path(args.out + ".md").write_text(
                f"Settings are batch x slots x cores; {rows[0]['cpu']}, {rows[0]['cores']} cores, "
                f"{rows[0]['backend']}; batches to {args.max_batch}, {args.sample_ms:g} ms a sample.\n\n" + table(rows),
                encoding="utf-8")


if __name__ == "__main__":
    main()
