#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Does `framemill eval` count as the field's own programs do? To 1e-6, by sequence and combined, against

    TrackEval       HOTA and its halves, by alpha too; CLEAR; Identity (default rules)
    py-motmetrics   CLEAR under --rules motmetrics; Identity

on synthetic sequences (people who cross, stand close, leave and return; boxes that are missed, shaken, invented; ids that
change), with the ground truth of MOT15 and with the classes of MOT17 and MOT20, and on the sequences of the data folder with
their ground truth made worse in the same ways.

    compare_eval.py FRAMEMILL synthetic|classes|real|edges

Runs in the Python of tests/requirements.txt (.deps/test); exit 77, a skip, where that or the data is missing."""

import contextlib
import io
import json
import logging
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from setting import DATA, begin_again, skip

try:
    import numpy as np
    # Both packages were written before NumPy 1.24 took these names away.
    for name, kind in (("float", float), ("int", int), ("bool", bool)):
        if name not in np.__dict__:
            setattr(np, name, kind)
    import motmetrics
    import trackeval
except ImportError as e:
    begin_again(e)

TOLERANCE = 1e-6


# ---- sequences ----

def people(rng, frames, count, size=(640, 480)):
    """Ground truth: {frame: [(id, x, y, w, h)]}. Walkers, some in pairs side by side, some away for a while."""
    seq = {f: [] for f in range(1, frames + 1)}
    for i in range(1, count + 1):
        w, h = rng.uniform(20, 60), rng.uniform(60, 140)
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        vx, vy = rng.gauss(0, 4), rng.gauss(0, 2)
        first, last = sorted(rng.sample(range(1, frames + 1), 2))
        gone = rng.randint(first, last) if rng.random() < 0.4 else None
        for f in range(first, last + 1):
            x, y = x + vx + rng.gauss(0, 1), y + vy + rng.gauss(0, 1)
            if gone is None or not gone <= f < gone + 7:
                seq[f].append((i, x, y, w, h))
    return seq


def worsen(rng, seq, miss=0.15, shake=0.12, invent=0.05, change=0.02):
    """A tracker's result from ground truth."""
    out, names, fresh = {}, {}, 1000
    for f in sorted(seq):
        rows = []
        if rng.random() < 0.03:
            continue  # nothing at all in this frame
        for i, x, y, w, h in seq[f]:
            if rng.random() < miss:
                continue
            if i not in names or rng.random() < change:
                fresh += 1
                names[i] = fresh
            rows.append([names[i], x + rng.gauss(0, shake) * w, y + rng.gauss(0, shake * 0.6) * h,
                         w * rng.uniform(0.85, 1.15), h * rng.uniform(0.85, 1.15)])
        if len(rows) > 1 and rng.random() < 0.05:  # two swap ids for good
            a, b = rng.sample(range(len(rows)), 2)
            rows[a][0], rows[b][0] = rows[b][0], rows[a][0]
            back = {v: k for k, v in names.items()}
            ia, ib = back.get(rows[a][0]), back.get(rows[b][0])
            if ia is not None and ib is not None:
                names[ia], names[ib] = names[ib], names[ia]
        for _ in range(len(rows)):
            if rng.random() < invent:
                fresh += 1
                _, x, y, w, h = rng.choice(rows)
                rows.append([fresh, x + rng.uniform(-40, 40), y + rng.uniform(-20, 20), w, h])
        out[f] = rows
    return out


def save(path, seq, tail):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as o:
        for f in sorted(seq):
            for row in seq[f]:
                o.write(f"{f},{row[0]}," + ",".join(f"{v:.3f}" for v in row[1:5]) + "," + tail(row) + "\n")


def flagged(rng):
    """MOT15's last columns; some boxes are not to be evaluated."""
    return lambda row: ("0" if rng.random() < 0.05 else "1") + f",{rng.gauss(0, 5):.4f},{rng.gauss(0, 5):.4f},0"


def classes(rng):
    """MOT17's: a class for each id, so that distractors are whole tracks."""
    kinds = {}

    def tail(row):
        kind = kinds.setdefault(row[0], rng.choice([1, 1, 1, 1, 2, 3, 6, 7, 8, 9, 12, 13]))
        return f"{int(kind == 1 and rng.random() > 0.05)},{kind},{rng.random():.2f}"
    return tail


def plain(row):
    return "0.9,-1,-1,-1"


class Set:
    """Sequences in MOTChallenge's layout, for all three programs."""

    def __init__(self, root):
        self.gt, self.trackers, self.lengths = root / "gt", root / "trackers", {}
        self.results = self.trackers / "t" / "data"
        self.results.mkdir(parents=True)

    def gt_file(self, name):
        return self.gt / name / "gt" / "gt.txt"

    def add(self, name, gt, result, tail):
        save(self.gt_file(name), gt, tail)
        save(self.results / f"{name}.txt", result, plain)
        self.lengths[name] = max([*gt, *result], default=1)


# ---- the three programs ----

def run_framemill(exe, s, *flags):
    p = subprocess.run([exe, "eval", str(s.gt), str(s.results), "--json", *flags], capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit(f"framemill eval failed with {p.returncode}: {p.stderr}")
    return json.loads(p.stdout)


def run_trackeval(s, benchmark):
    config = {"GT_FOLDER": str(s.gt), "TRACKERS_FOLDER": str(s.trackers), "TRACKERS_TO_EVAL": ["t"], "BENCHMARK": benchmark,
              "SKIP_SPLIT_FOL": True, "SEQ_INFO": dict(s.lengths), "PRINT_CONFIG": False}
    quiet = {"PRINT_RESULTS": False, "PRINT_CONFIG": False, "TIME_PROGRESS": False, "OUTPUT_SUMMARY": False,
             "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
               trackeval.metrics.Identity({"PRINT_CONFIG": False})]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.MotChallenge2DBox(config)
        answer, _ = trackeval.Evaluator(quiet).evaluate([dataset], metrics)
    return {k: v["pedestrian"] for k, v in answer["MotChallenge2DBox"]["t"].items()}


def run_motmetrics(s):
    accs = []
    for name in s.lengths:
        gt = motmetrics.io.loadtxt(str(s.gt_file(name)), fmt="mot15-2D", min_confidence=1)
        result = motmetrics.io.loadtxt(str(s.results / f"{name}.txt"), fmt="mot15-2D")
        accs.append(motmetrics.utils.compare_to_groundtruth(gt, result, "iou", distth=0.5))
    host = motmetrics.metrics.create()
    names = ["mota", "motp", "recall", "precision", "num_false_positives", "num_misses", "num_switches", "num_fragmentations",
             "mostly_tracked", "partially_tracked", "mostly_lost", "idf1", "idp", "idr", "num_objects", "num_predictions"]
    table = host.compute_many(accs, names=list(s.lengths), metrics=names, generate_overall=True)
    return {("combined" if k == "OVERALL" else k): dict(row) for k, row in table.iterrows()}


# ---- comparison ----

TRACKEVAL = {
    "HOTA": {"hota": "HOTA", "deta": "DetA", "assa": "AssA", "loca": "LocA", "detre": "DetRe", "detpr": "DetPr",
             "assre": "AssRe", "asspr": "AssPr", "hota_at": "HOTA", "deta_at": "DetA", "assa_at": "AssA", "loca_at": "LocA"},
    "CLEAR": {"mota": "MOTA", "motp": "MOTP", "recall": "CLR_Re", "precision": "CLR_Pr", "tp": "CLR_TP", "fp": "CLR_FP",
              "fn": "CLR_FN", "switches": "IDSW", "frag": "Frag", "mt": "MT", "pt": "PT", "ml": "ML"},
    "Identity": {"idf1": "IDF1", "idp": "IDP", "idr": "IDR", "idtp": "IDTP", "idfp": "IDFP", "idfn": "IDFN"},
    "Count": {"gt_boxes": "GT_Dets", "boxes": "Dets", "gt_tracks": "GT_IDs", "tracks": "IDs"},
}
MOTMETRICS = {
    "mota": "mota", "recall": "recall", "precision": "precision", "fp": "num_false_positives", "fn": "num_misses",
    "switches": "num_switches", "frag": "num_fragmentations", "mt": "mostly_tracked", "pt": "partially_tracked",
    "ml": "mostly_lost", "idf1": "idf1", "idp": "idp", "idr": "idr", "gt_boxes": "num_objects", "boxes": "num_predictions",
}


class Check:
    def __init__(self):
        self.values, self.worst, self.wrong = 0, 0.0, []

    def same(self, what, ours, theirs):
        for a, b in zip(np.atleast_1d(ours), np.atleast_1d(theirs), strict=True):
            self.values += 1
            self.worst = max(self.worst, abs(a - b))
            if not abs(a - b) <= TOLERANCE:
                self.wrong.append(f"{what}: {a} here, {b} there")

    def trackeval(self, exe, s, benchmark, *flags):
        ours, theirs = run_framemill(exe, s, *flags), run_trackeval(s, benchmark)
        for name, there in theirs.items():
            here = ours["combined"] if name == "COMBINED_SEQ" else ours["sequences"][name]
            for metric, fields in TRACKEVAL.items():
                for key, field in fields.items():
                    value = np.asarray(there[metric][field], dtype=float)
                    self.same(f"TrackEval {name} {field}", here[key], value if key.endswith("_at") else np.mean(value))

    def motmetrics(self, exe, s, *flags):
        ours, theirs = run_framemill(exe, s, "--rules", "motmetrics", *flags), run_motmetrics(s)
        for name, there in theirs.items():
            here = ours["combined"] if name == "combined" else ours["sequences"][name]
            for key, field in MOTMETRICS.items():
                self.same(f"py-motmetrics {name} {field}", here[key], there[field])
            self.same(f"py-motmetrics {name} motp", 1 - here["motp"], there["motp"])

    def end(self, what):
        print(f"{what}: {self.values} values, largest difference {self.worst:.1e}")
        if self.wrong:
            print("\n".join(self.wrong[:40]))
            sys.exit(1)


def synthetic(exe, root, check):
    for seed in range(8):
        rng = random.Random(seed)
        s = Set(root / f"s{seed}")
        for k in range(3):
            gt = people(rng, rng.randint(20, 150), rng.randint(2, 25))
            worse = worsen(rng, gt, miss=rng.uniform(0, 0.5), shake=rng.uniform(0.02, 0.3), change=rng.uniform(0, 0.1))
            s.add(f"seq{k}", gt, worse, flagged(rng))
        check.trackeval(exe, s, "MOT15")
        check.motmetrics(exe, s)


def with_classes(exe, root, check):
    for seed in range(6):
        rng = random.Random(100 + seed)
        s = Set(root / f"s{seed}")
        for k in range(2):
            gt = people(rng, rng.randint(20, 100), rng.randint(8, 30))
            s.add(f"seq{k}", gt, worsen(rng, gt, shake=rng.uniform(0.02, 0.2)), classes(rng))
        check.trackeval(exe, s, "MOT17")
        check.trackeval(exe, s, "MOT16", "--gt-format", "mot17")
        check.trackeval(exe, s, "MOT20", "--gt-format", "mot20")
        check.trackeval(exe, s, "MOT15", "--gt-format", "mot15")


def real(exe, root, check):
    names = ["PETS09-S2L1", "TUD-Campus"]
    if not all((DATA / "mot" / n / "gt.txt").is_file() for n in names):
        skip("data/mot is missing")
    for seed in range(4):
        rng = random.Random(200 + seed)
        s = Set(root / f"s{seed}")
        for name in names:
            text = (DATA / "mot" / name / "gt.txt").read_text()
            gt = {}
            for line in text.splitlines():
                v = line.split(",")
                gt.setdefault(int(v[0]), []).append((int(v[1]), *map(float, v[2:6])))
            s.add(name, gt, worsen(rng, gt, miss=0.1 * seed, shake=0.05 + 0.05 * seed), lambda row: "1,-1,-1,-1")
            s.gt_file(name).write_text(text)  # the file itself, flags and all
        check.trackeval(exe, s, "MOT15")
        check.motmetrics(exe, s)


def edges(exe, root, check):
    """Nothing on one side, nothing in common, everything right; beside a sequence with something to combine."""
    rng = random.Random(300)
    gt = people(rng, 40, 6)
    far = {f: [(i, x + 5000, y, w, h) for i, x, y, w, h in rows] for f, rows in gt.items()}
    s = Set(root / "edges")
    s.add("apart", gt, far, lambda row: "1,-1,-1,-1")
    s.add("empty", gt, {}, lambda row: "1,-1,-1,-1")
    s.add("ignored", gt, worsen(rng, gt), lambda row: "0,-1,-1,-1")
    s.add("perfect", gt, gt, lambda row: "1,-1,-1,-1")
    s.add("usual", gt, worsen(rng, gt), lambda row: "1,-1,-1,-1")
    check.trackeval(exe, s, "MOT15")


def main():
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    what = {"synthetic": synthetic, "classes": with_classes, "real": real, "edges": edges}[sys.argv[2]]
    check = Check()
    with tempfile.TemporaryDirectory(prefix="fm-eval-") as root:
        what(sys.argv[1], Path(root), check)
    check.end(sys.argv[2])


if __name__ == "__main__":
    main()
