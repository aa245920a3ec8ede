#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writing a store against the usual Python way, in turns in one run: cv2.imwrite, sqlitedict (committing each frame, and
each hundredth) and faiss's add. Frames of a video as JPEG of quality 85, 8 detections with features of 512 numbers each.

    .deps/bench/bin/python3 bench/store/run.py build VIDEO [--frames 300] [--rounds 3]
"""

import argparse
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

import cv2
import faiss
import numpy as np
import sqlitedict


def cpu_of(who):
    u = resource.getrusage(who)
    return u.ru_utime + u.ru_stime


def python_way(frames, count, features, folder, every):
    start, cpu = time.perf_counter(), cpu_of(resource.RUSAGE_SELF)
    index = faiss.IndexFlatL2(features.shape[1])
    with sqlitedict.SqliteDict(str(folder / "meta.sqlite"), autocommit=every == 1) as db:
        for i in range(count):
            name = f"{i:08d}.jpg"
            cv2.imwrite(str(folder / name), frames[i % len(frames)], [cv2.IMWRITE_JPEG_QUALITY, 85])
            index.add(features)
            db[str(i)] = {"frame": i, "file": name, "objects": [
                {"label": "person", "score": 0.8, "box": [k * 50, 40, 40, 100], "track": k + 1, "feature": features[k]}
                for k in range(len(features))]}
            if every > 1 and i % every == every - 1:
                db.commit()
        db.commit()
    faiss.write_index(index, str(folder / "vectors.faiss"))
    return count / (time.perf_counter() - start), (cpu_of(resource.RUSAGE_SELF) - cpu) / count * 1e3


def ours(build, raw, size, count, folder, *more):
    cpu = cpu_of(resource.RUSAGE_CHILDREN)
    out = subprocess.run([build / "bench/store/bench_store_write", raw, str(size[0]), str(size[1]), str(count), folder / "store",
                          *more], check=True, capture_output=True, text=True).stdout
    return json.loads(out), (cpu_of(resource.RUSAGE_CHILDREN) - cpu) / count * 1e3


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("video")
    p.add_argument("--frames", type=int, default=300)
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    subprocess.run(["ninja", "-C", args.build, "bench/store/bench_store_write"], check=True, capture_output=True)
    args.build = args.build.resolve()
    cap, frames = cv2.VideoCapture(args.video), []
    while len(frames) < 60:
        ok, frame = cap.read()
        if not ok:
            break
        frames.append(frame)
    size = frames[0].shape[1], frames[0].shape[0]
    features = np.random.default_rng(1).standard_normal((8, 512), dtype=np.float32)
    rates = {}
    with tempfile.TemporaryDirectory() as top:
        top = pathlib.Path(top)
        raw = top / "frames.yuv"
        raw.write_bytes(b"".join(cv2.cvtColor(f, cv2.COLOR_BGR2YUV_I420).tobytes() for f in frames))
        for r in range(args.rounds):
            for name in "store", "store full", "python", "python, commit each 100th":
                folder = top / f"{name}-{r}"
                folder.mkdir()
                if name.startswith("store"):
                    got, cpu = ours(args.build, raw, size, args.frames, folder, *name.split()[1:])
                    rate, ack = got["fps"], got["longest_ack_ms"]
                else:
                    rate, cpu = python_way(frames, args.frames, features, folder, 100 if "," in name else 1)
                    ack = None
                rates.setdefault(name, []).append((rate, cpu, ack))
                shutil.rmtree(folder)
    base = statistics.median(r for r, _, _ in rates["python"])
    for name, runs in rates.items():
        rate, cpu = (statistics.median(x[i] for x in runs) for i in (0, 1))
        ack = f", longest acknowledgement {max(x[2] for x in runs):.0f} ms" if runs[0][2] else ""
        print(f"{name:28s} {rate:8.1f} frames/s {rate / base:6.2f} x   {cpu:6.2f} ms of processor a frame{ack}")


if __name__ == "__main__":
    main()
