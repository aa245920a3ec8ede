# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What runs on a cluster, for whoever asks: each run keeps a small actor with a name, and `framemill cluster status` asks them all."""
from __future__ import annotations

import os
import socket
from typing import Any, Sequence

from ._cluster import need_ray
from .pool import why

NAMESPACE = "framemill"
ANSWER_S = 5.0


class _Board:
    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def put(self, status: dict[str, Any]) -> None:
        self._last = status

    def get(self) -> dict[str, Any]:
        return self._last


class Board:
    """Of a run; it is gone when the run's process is."""

    def __init__(self) -> None:
        self.name = f"run-{socket.gethostname()}-{os.getpid()}"
        self._actor = need_ray().remote(_Board).options(name=self.name, namespace=NAMESPACE, num_cpus=0).remote()

    def put(self, status: dict[str, Any]) -> None:
        self._actor.put.remote(status)


def runs() -> dict[str, dict[str, Any]]:
    """What each run of the cluster says of itself, by name."""
    ray = need_ray()
    names = [a["name"] for a in ray.util.list_named_actors(all_namespaces=True) if a["namespace"] == NAMESPACE]
    out: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        try:
            out[name] = ray.get(ray.get_actor(name, namespace=NAMESPACE).get.remote(), timeout=ANSWER_S)
        except (ValueError, ray.exceptions.RayError) as e:
            out[name] = {"error": why(e)}
    return out


def nodes() -> list[dict[str, Any]]:
    """The cluster's machines: node, host, address, alive, and of cores, GPUs and memory all there is."""
    out = []
    for n in need_ray().nodes():
        r = n["Resources"]
        out.append({"node": n["NodeID"], "host": n["NodeManagerHostname"], "address": n["NodeManagerAddress"], "alive": n["Alive"],
                    "cpus": r.get("CPU", 0.0), "gpus": r.get("GPU", 0.0), "memory_bytes": int(r.get("memory", 0))})
    return sorted(out, key=lambda n: (not n["alive"], str(n["host"]), str(n["node"])))


def table(nodes_: Sequence[dict[str, Any]], runs_: dict[str, dict[str, Any]]) -> list[str]:
    """Lines for people: a line each machine, the workers of all runs on it added up, and a line each run."""
    lines = [f"{'host':<20} {'node':<8} {'cpus':>5} {'gpus':>5} {'workers':>7} {'streams':>7} {'frames/s':>8} {'busy':>5} {'queued':>6} {'dropped':>7}"]
    workers = [w for r in runs_.values() for w in r.get("workers", [])]
    for n in nodes_:
        here = [w for w in workers if w["node"] == n["node"]]
        if not n["alive"]:
            lines.append(f"{n['host'][:20]:<20} {n['node'][:8]:<8} gone")
            continue
        busy = f"{sum(w['busy'] for w in here) / len(here):.0%}" if here else "-"
        lines.append(f"{n['host'][:20]:<20} {n['node'][:8]:<8} {n['cpus']:>5g} {n['gpus']:>5g} {len(here):>7} {sum(w['streams'] for w in here):>7} "
                     f"{sum(w['fps'] for w in here):>8.1f} {busy:>5} {sum(w['queued'] for w in here):>6} {sum(w['dropped'] for w in here):>7}")
    starting = sum(1 for w in workers if w["node"] is None)
    lines += [f"{starting} workers are being started"] if starting else []
    return lines + [run_line(name, r) for name, r in runs_.items()]


def run_line(name: str, status: dict[str, Any]) -> str:
    if "error" in status:
        return f"{name}: {status['error']}"
    p = status.get("progress")
    if not p:
        return f"{name}: starting"
    of = f" of {p['expected']:.0f}" if p["expected"] else ""
    left = f", {(p['expected'] - p['frames']) / p['fps']:.0f} s left" if p["expected"] and p["fps"] > 0 else ""
    more = "".join(f", {p[k]:.0f} {text}" for k, text in (("waiting", "streams wait"), ("failed", "streams failed"), ("lost", "workers lost")) if p[k])
    return f"{name}: {p['frames']:.0f}{of} frames, {p['fps']:.1f} frames/s, {p['active']:.0f} of {p['streams']:.0f} streams{more}{left}"
