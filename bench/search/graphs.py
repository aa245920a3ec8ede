#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Measures the graph against faiss-cpu's HNSW, that of the FAISS framemill was built with, and the exact scan.

    .deps/bench/bin/python3 bench/search/graphs.py [--count 100000] [--dim 512] [--gaussian] [--peers faiss-cpu,debian] [--out FILE]

One query at a time on one thread; `scan` uses all threads. Recall is that of the k nearest of an exact scan, whose answers
are compared with IndexFlatL2. Vectors are those of search.py --clustered (or gaussian). Vectors lie in files, so memory holds one graph with
its floats at a time: 3 GB for a million of 512. Each graph is asked at rising effort (efSearch)."""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import faiss
import numpy as np

from search import ROOT, unit, vectors

EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
PIECE = 50_000
ASKED = 1000


def make(a, folder):
    """The vectors into a file, a piece at a time, and the queries."""
    rng = np.random.default_rng(1)
    centres = None if a.gaussian else unit(rng.standard_normal((max(1, a.count // 100), a.dim), dtype=np.float32))
    with open(folder / "x", "wb") as f:
        for at in range(0, a.count, PIECE):
            vectors(rng, min(PIECE, a.count - at), a.dim, centres).tofile(f)
    vectors(rng, ASKED, a.dim, centres).tofile(folder / "q")


def load(a, folder):
    x = np.memmap(folder / "x", np.float32, "r", shape=(a.count, a.dim))
    return x, np.fromfile(folder / "q", np.float32).reshape(-1, a.dim)


def exact_of(x, q, k):
    """IndexFlatL2 piece by piece."""
    best, ids = np.full((len(q), 0), 0, np.float32), np.zeros((len(q), 0), np.int64)
    for at in range(0, len(x), PIECE):
        flat = faiss.IndexFlatL2(x.shape[1])
        flat.add(np.ascontiguousarray(x[at:at + PIECE]))
        d, i = flat.search(q, k)
        best, ids = np.hstack([best, d]), np.hstack([ids, i + at])
        order = np.argsort(best, axis=1, kind="stable")[:, :k]
        best, ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)
    return ids


def ours(a, folder, which):
    command = ["bench/search/bench_graph", which, folder / "x", a.dim, folder / "q", a.k, a.threads, folder, a.links, a.build_effort]
    return json.loads(subprocess.run([str(ROOT / a.build / command[0])] + [str(c) for c in command[1:] + list(EFFORTS)],
                                     check=True, stdout=subprocess.PIPE, text=True).stdout)


def faiss_cpu(a, x, q, exact):
    h = faiss.IndexHNSWFlat(a.dim, a.links)
    h.hnsw.efConstruction = a.build_effort
    faiss.omp_set_num_threads(a.threads)
    start, processor = time.perf_counter(), time.process_time()
    for at in range(0, len(x), PIECE):
        h.add(np.ascontiguousarray(x[at:at + PIECE]))
    out = {"version": faiss.__version__, "build_s": round(time.perf_counter() - start, 1),
           "build_processor_s": round(time.process_time() - processor, 1), "efforts": []}
    out["graph_bytes"] = len(x) * (a.dim * 4 + a.links * 2 * 4 + 8)
    for effort in EFFORTS:
        h.hnsw.efSearch = effort
        faiss.omp_set_num_threads(1)
        best = 1e9
        for _ in range(3):
            start = time.perf_counter()
            found = np.vstack([h.search(q[i:i + 1], a.k)[1] for i in range(len(q))])
            best = min(best, time.perf_counter() - start)
        recall = np.mean([len(set(f) & set(e)) / a.k for f, e in zip(found, exact)])
        out["efforts"].append({"effort": effort, "recall": round(float(recall), 4), "qps": round(len(q) / best, 1)})
    return out


def row(name, r, least):
    good = [e for e in r["efforts"] if e["recall"] >= least]
    e = good[0] if good else r["efforts"][-1]
    size = f"{r['graph_bytes'] / 1e6:.0f}" if "graph_bytes" in r else "-"
    return f"| {name} | {r['build_s']:.0f} | {r['build_processor_s']:.0f} | {size} | {e['effort']} | {e['recall']:.4f} | {e['qps']:.0f} |"


def keep(a, everything):
    """After each step, for they are long."""
    if a.out:
        pathlib.Path(a.out).write_text(json.dumps(everything, indent=1) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--count", type=int, default=100_000)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--links", type=int, default=32)
    p.add_argument("--build-effort", type=int, default=100)
    p.add_argument("--gaussian", action="store_true")
    p.add_argument("--peers", default="faiss-cpu,debian")
    p.add_argument("--out", help="write everything as JSON")
    a = p.parse_args()
    subprocess.run(["ninja", "-C", a.build, "bench/search/bench_graph"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="framemill-graphs-") as name:
        folder = pathlib.Path(name)
        make(a, folder)
        x, q = load(a, folder)
        all_ = {"count": a.count, "dim": a.dim, "vectors": "gaussian" if a.gaussian else "clustered", "threads": a.threads,
                "load": os.getloadavg(), "framemill": ours(a, folder, "ours")}
        exact = exact_of(x, q, a.k)
        all_["same_as_IndexFlatL2"] = float(np.mean(np.array(all_["framemill"].pop("exact")) == exact))
        keep(a, all_)
        if "faiss-cpu" in a.peers:
            all_["faiss-cpu"] = faiss_cpu(a, x, q, exact)
            keep(a, all_)
        if "debian" in a.peers:
            all_["debian"] = ours(a, folder, "debian")
        all_["load after"] = os.getloadavg()
        keep(a, all_)
    print(f"{a.count} x {a.dim}, {all_['vectors']}, top {a.k}; M {a.links}, built with effort {a.build_effort} by {a.threads} threads; "
          f"exact scan {all_['framemill']['scan_qps']:.0f} queries/s ({a.threads} threads), the same as IndexFlatL2 in "
          f"{all_['same_as_IndexFlatL2']:.4f} of places")
    for least in (0.95, 0.99):
        print(f"\nrecall@{a.k} of {least} and more:\n\n| graph | build s | of processors | MB | effort | recall | queries/s |\n|---|--:|--:|--:|--:|--:|--:|")
        for name in ("framemill", "faiss-cpu", "debian"):
            if name in all_:
                print(row(name, all_[name], least))


if __name__ == "__main__":
    main()
