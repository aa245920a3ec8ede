#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill's assignment beside scipy.optimize.linear_sum_assignment: the same total on random problems of all shapes, uniform and
crowded costs, ties, forbidden pairs, with and without a limit. A limit is the original's clamp: costs above it become limit + 1e-5.

Usage: test_assign.py ASSIGN_REPLAY. Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that is missing.
"""

import struct
import subprocess
import sys

from setting import begin_again

try:
    import numpy as np
    from scipy.optimize import linear_sum_assignment
except ImportError as error:
    begin_again(error)

SHAPES = [(1, 1), (1, 9), (9, 1), (5, 5), (30, 30), (100, 100), (90, 120), (120, 90), (3, 200), (200, 3), (300, 300)]


def problems():
    random = np.random.default_rng(1)
    for rows, cols in SHAPES:
        for kind in range(5):
            for limit in (np.inf, 0.7, 0.05):
                if kind == 0:
                    cost = random.random((rows, cols))
                elif kind == 1:
                    cost = random.integers(0, 4, (rows, cols)) / 4
                elif kind == 2:  # everybody wants the same
                    cost = np.outer(np.arange(1, rows + 1), np.arange(1, cols + 1)) / (rows * cols)
                elif kind == 3:  # points that moved
                    a, b = random.random((rows, 2)), random.random((cols, 2))
                    cost = np.linalg.norm(a[:, None] - b[None], axis=2)
                else:
                    cost = random.random((rows, cols))
                    if np.isfinite(limit):
                        cost[random.random(cost.shape) < 0.8] = np.inf
                yield cost.astype(np.float32), limit


def expected(cost, limit):
    clamped = cost.astype(np.float64)
    if np.isfinite(limit):
        clamped = np.where(clamped > limit, limit + 1e-5, clamped)
    rows, cols = linear_sum_assignment(clamped)
    return clamped[rows, cols].sum()


def total(cost, limit, col_of_row):
    made = [(row, col) for row, col in enumerate(col_of_row) if col >= 0]
    assert len({col for _, col in made}) == len(made), "a column is given twice"
    pairs = min(cost.shape)
    if not np.isfinite(limit):
        assert len(made) == pairs, f"{len(made)} pairs of {pairs}"
        return sum(float(cost[pair]) for pair in made)
    assert all(cost[pair] <= limit for pair in made), "a pair costs more than the limit"
    return sum(float(cost[pair]) for pair in made) + (pairs - len(made)) * (limit + 1e-5)


def main():
    cases = list(problems())
    data = b"".join(
        struct.pack("<2id", *cost.shape, limit + 1e-5 if np.isfinite(limit) else limit)
        + np.where(cost > limit, np.float32(np.inf), cost).tobytes()
        for cost, limit in cases
    )
    lines = subprocess.run([sys.argv[1]], input=data, check=True, capture_output=True).stdout.decode().splitlines()
    assert len(lines) == len(cases)
    for (cost, limit), line in zip(cases, lines):
        got, want = total(cost, limit, [int(word) for word in line.split()]), expected(cost, limit)
        assert abs(got - want) < 1e-6 * max(1, abs(want)), f"{cost.shape}, limit {limit}: {got}, scipy {want}"
    print(f"ok: {len(cases)} assignments cost what scipy's do")


if __name__ == "__main__":
    main()
