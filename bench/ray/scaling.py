#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What a cluster of 1 to 1,000 nodes gives, simulated (simulate.py) from costs that were measured on one machine: docs/scaling.md.

    python3 bench/ray/scaling.py [--write]      prints the page's tables; --write puts them and the plot into docs/

It reads what run.py and costs.py wrote: bench/results/ray.json and ray_costs.json."""

import argparse
import dataclasses
import json
import pathlib

import plot
import run
from simulate import Cluster, Costs, driver_limit, kept, pixels_fps, spread, start_up

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN, COSTS = ROOT / "bench/results/ray.json", ROOT / "bench/results/ray_costs.json"
NODES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
BENDS = 0.95  # of what as many nodes would give alone
SECONDS, DRIVERS = 10, 4
LOSSES = ((86400, "a day"), (3600, "an hour"), (600, "10 minutes"))
LOSS_NODES, LOSS_SECONDS = 50, 600


def bends_at(fps_of, one, most=100000):
    """The least number of nodes that give less than BENDS of what they would alone; None up to `most`."""
    low, high = 1, 2
    while fps_of(high) >= BENDS * high * one:
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if fps_of(middle) < BENDS * middle * one else (middle, high)
    return high


def simulate(costs, seconds=SECONDS, drivers=DRIVERS):
    rows = []
    for nodes in NODES:
        r = Cluster(costs, nodes).run(seconds)
        rows.append({"nodes": nodes, **r, "start_s": start_up(costs, nodes), "spread_fps": spread(costs, nodes, drivers, seconds),
                     "pixels_fps": pixels_fps(costs, nodes)})
    return {"rows": rows, "drivers": drivers, "bend": bends_at(lambda n: Cluster(costs, n).run(seconds / 2)["fps"], costs.node_fps),
            "pixels_bend": bends_at(lambda n: pixels_fps(costs, n), costs.pixels_node_fps)}


def table(costs, found):
    lines = [f"| nodes | frames/s | of nodes x one | driver's thread busy | records an answer | all at work after, s | {found['drivers']} drivers, "
             "frames/s | pixels, frames/s |", "|---|---|---|---|---|---|---|---|"]
    for r in found["rows"]:
        lines.append(f"| {r['nodes']} | {r['fps']:.0f} | {r['fps'] / r['nodes'] / costs.node_fps:.3f} | {100 * r['load']:.0f} % | "
                     f"{r['records_a_take']:.1f} | {r['start_s']:.1f} | {r['spread_fps']:.0f} | {r['pixels_fps']:.0f} |")
    return "\n".join(lines) + "\n"


def losses(costs):
    lines = [f"| a node is lost once in | losses in {LOSS_SECONDS} s of {LOSS_NODES} nodes | frames kept | by the formula | frames made twice |",
             "|---|---|---|---|---|"]
    for mtbf_s, words in LOSSES:
        lossy = dataclasses.replace(costs, node_mtbf_s=float(mtbf_s))
        r = Cluster(lossy, LOSS_NODES, seed=1).run(LOSS_SECONDS)
        lines.append(f"| {words} | {r['losses']} | {r['fps'] / LOSS_NODES / costs.node_fps:.4f} | {kept(lossy):.4f} | {r['repeats']} |")
    return "\n".join(lines) + "\n"


def limits(costs):
    """(framemill's, the original's): frames a second that each part of the driver can pass on."""
    ours = {"its thread": driver_limit(costs), "its link": costs.bytes_per_s / costs.record_bytes}
    pixels = {"its cores": 1 / max(costs.pixels_driver_s, costs.pixels_driver_cpu_s / costs.driver_cores),
              "its link": costs.bytes_per_s / costs.pixel_bytes}
    return ours, pixels


def words(costs, found):
    """Where it bends and why, from the same figures."""
    parts = []
    for who, bend, all_limits in zip(("framemill over Ray", "The design that sends pixels"), (found["bend"], found["pixels_bend"]), limits(costs)):
        of, least = min(all_limits, key=all_limits.get), min(all_limits.values())
        rest = ", ".join(f"{k} at {v:,.0f}" for k, v in all_limits.items() if k != of)
        parts.append(f"{who} falls below {BENDS} of its nodes from {bend} nodes on: the driver ends at {least:,.0f} frames/s by {of} ({rest}).")
    return " ".join(parts) + "\n"


def picture(costs, found):
    rows = found["rows"]
    curves = [plot.Curve("nodes x one node", [(r["nodes"], r["nodes"] * costs.node_fps) for r in rows], dashed=True),
              plot.Curve(f"framemill, {found['drivers']} drivers", [(r["nodes"], r["spread_fps"]) for r in rows]),
              plot.Curve("framemill, one driver", [(r["nodes"], r["fps"]) for r in rows]),
              plot.Curve("pixels through the driver", [(r["nodes"], r["pixels_fps"]) for r in rows])]
    return plot.svg("Frames a second by nodes (simulated from measured costs)", "nodes", "frames/s", curves)


def _where(given):
    m = given["machine"]
    busy = " The machine had other work: rates and times by the clock are no more than tendencies." if m["load"] > 1 else ""
    return f"`{given['command']}`; {m['cpu']}, {m['cores']} cores, {m['date']}, load {m['load']:.1f} at the start.{busy}"


def measured_run(given):
    return f"{_where(given)} Rounds: {len(given['rounds'])}.\n\n{run.table(given['rounds'])}"


def measured_costs(given):
    m, s = given["measured"], given["shown"]

    def us(name):
        return f"{1e6 * m[name]:.1f} µs"

    driver = " / ".join(us(f"driver_{k}_s") for k in ("step", "worker", "take", "record"))
    states = " / ".join(str(s["checkpoint_bytes"][k]) for k in ("none", "bytetrack", "deepsort"))
    rows = [("driver: a step / each worker there is / an answer / a record", driver),
            ("driver: asking for a worker / placing a stream, for each worker there is", f"{us('driver_start_s')} / {us('driver_place_s')}"),
            ("bytes of a record, state and message included", f"{m['record_bytes']:.0f}"),
            ("bytes of a checkpoint: no tracker / bytetrack / deepsort", states),
            ("worker: processor time a frame / of it decoding and the network alone", f"{s['worker_cpu_ms']:.2f} ms / {s['alone_cpu_ms']:.2f} ms"),
            ("from asking for a worker to its first answer (process, package, models)", f"{m['start_s']:.2f} s"),
            ("from `kill -9` of a worker to the first new record of a stream it had", f"{m['recovery_s']:.2f} s"),
            ("from the decision to move a stream to its first new record elsewhere", f"{m['move_s']:.2f} s"),
            ("pixels: driver's thread a frame / all its threads", f"{us('pixels_driver_s')} / {us('pixels_driver_cpu_s')}"),
            ("pixels: bytes a frame", f"{m['pixel_bytes']:.0f}")]
    return _where(given) + "\n\n| cost | |\n|---|---|\n" + "".join(f"| {k} | {v} |\n" for k, v in rows)


def page_parts(run_file=RUN, costs_file=COSTS):
    """(what --write puts into the page, all but the losses; the plot)."""
    costs = Costs.load(costs_file)
    found = simulate(costs)
    parts = {"run": measured_run(json.loads(run_file.read_text())), "costs": measured_costs(json.loads(costs_file.read_text())),
             "table": table(costs, found), "bend": words(costs, found)}
    return parts, picture(costs, found)


def replace_part(text, mark, part):
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"docs/scaling.md has no part '{mark}'")
    return head + begin + part + end + tail


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", action="store_true", help="docs/scaling.svg, and the tables and where it bends in docs/scaling.md")
    a = p.parse_args()
    parts, plotted = page_parts()
    parts["losses"] = losses(Costs.load(COSTS))
    print(*parts.values(), sep="\n")
    if a.write:
        page = ROOT / "docs/scaling.md"
        text = page.read_text()
        for mark, part in parts.items():
            text = replace_part(text, mark, part)
        page.write_text(text)
        (ROOT / "docs/scaling.svg").write_text(plotted)


if __name__ == "__main__":
    main()
