#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Measures the exact scan against faiss-cpu and sqlite-vec: the same vectors, queries, number of threads, in turns.

    .deps/bench/bin/python3 bench/search/search.py [--count 100000] [--dim 512] [--threads 2] [--clustered]

Rounds take turns, and a ratio is the median over the rounds of the ratio within a round. The neighbours found are compared with those of
faiss-cpu's IndexFlatL2. graphs.py beside it measures graphs.
Vectors have length 1: gaussian, which is the worst case of any bound, or --clustered: count / 100 centres, and around each of them
noise of 0.6 of a vector's length, as features of objects that are seen again and again."""

import argparse
import json
import pathlib
import sqlite3
import statistics
import subprocess
import tempfile
import time

import faiss
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCHES = (1, 16, 256)
PIECE = 50_000


def unit(x):
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def vectors(rng, n, dim, centres):
    """In pieces, so that memory holds little more than the result."""
    out = np.empty((n, dim), np.float32)
    for at in range(0, n, PIECE):
        m = min(PIECE, n - at)
        x = unit(rng.standard_normal((m, dim), dtype=np.float32))
        if centres is not None:
            x = unit(centres[rng.integers(0, len(centres), m)] + 0.6 * x)
        out[at:at + m] = x
    return out


def timed(fn, rounds):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        fn()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


class SqliteVec:
    def __init__(self, x):
        import sqlite_vec
        self.db = sqlite3.connect(":memory:")
        if not hasattr(self.db, "enable_load_extension"):
            raise SystemExit("this Python's sqlite3 loads no extensions: leave --sqlite-vec out, or use Debian's Python")
        self.db.enable_load_extension(True)
        sqlite_vec.load(self.db)
        self.db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{x.shape[1]}])")
        self.db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", ((i + 1, row.tobytes()) for i, row in enumerate(x)))

    def search(self, q, k):
        for row in q:
            self.db.execute("SELECT rowid, distance FROM v WHERE e MATCH ? AND k = ? ORDER BY distance", (row.tobytes(), k)).fetchall()


def ours(a, folder, rounds):
    command = [ROOT / a.build / "bench/search/bench_scan", folder / "x", a.dim, folder / "q", a.k, a.threads, rounds]
    out = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--count", type=int, default=100_000)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--clustered", action="store_true")
    p.add_argument("--sqlite-vec", action="store_true", help="also sqlite-vec (its one thread)")
    a = p.parse_args()
    faiss.omp_set_num_threads(a.threads)
    subprocess.run(["ninja", "-C", a.build, "bench/search/bench_scan"], check=True, stdout=subprocess.DEVNULL)
    rng = np.random.default_rng(1)
    centres = unit(rng.standard_normal((max(1, a.count // 100), a.dim), dtype=np.float32)) if a.clustered else None
    x, q = vectors(rng, a.count, a.dim, centres), vectors(rng, 256, a.dim, centres)
    with tempfile.TemporaryDirectory(prefix="framemill-search-") as name:
        folder = pathlib.Path(name)
        x.tofile(folder / "x")
        q.tofile(folder / "q")
        flat = faiss.IndexFlatL2(a.dim)
        flat.add(x)
        vec = SqliteVec(x) if a.sqlite_vec else None
        rows = {n: [] for n in BATCHES}
        for _ in range(a.rounds):
            mine = ours(a, folder, 21)
            for n in BATCHES:
                peer = timed(lambda: flat.search(q[:n], a.k), 3)
                other = timed(lambda: vec.search(q[:n], a.k), 1) if vec and n < 256 else None
                rows[n].append((mine[f"ms_{n}"], peer, other, mine["read_ms"]))
        exact = flat.search(q, a.k)[1]
        same = float(np.mean(np.array(mine["ids"]) == exact))
        print(f"{a.count} x {a.dim}, {'clustered' if a.clustered else 'gaussian'}, top {a.k}, {a.threads} threads; "
              f"same neighbours as IndexFlatL2: {same:.6f}; index built in {mine['build_ms']:.0f} ms")
        print("| queries | framemill ms | faiss-cpu ms | sqlite-vec ms | times faiss-cpu |\n|--:|--:|--:|--:|--:|")
        for n, r in rows.items():
            mine_ms, peer, other = (statistics.median(v[i] for v in r) if r[0][i] else None for i in range(3))
            ratio = statistics.median(v[1] / v[0] for v in r)
            print(f"| {n} | {mine_ms:.2f} | {peer:.2f} | {f'{other:.1f}' if other else '-'} | {ratio:.1f} |")
        share = statistics.median(v[3] / v[0] for v in rows[1])
        print(f"one query reads {mine['code_bytes'] / 1e6:.1f} MB at {share:.2f} of what plain reading of as many bytes takes")


if __name__ == "__main__":
    main()
