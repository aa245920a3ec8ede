#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Measures `framemill run` against its floor and against Python pipelines, in the same run, taking turns.

floor:  bench/floor.c: the network alone + decoding alone, same frames, batches and slots, all cores.
peers:  bench/peers/python_pipeline.py in its two styles.
Every number of a row comes from the same minutes: the programs take turns, and a ratio is the median over the rounds of the ratio within a round.
Writes RESULTS/<name>.json (all rounds) and RESULTS/<name>.md (the tables). Needs a built tree; python3 with nothing but its standard library;
a Python with openvino, numpy and opencv for the peers; ffmpeg for the 1080p video."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import models
import several
import tracking

ROOT = pathlib.Path(__file__).resolve().parent.parent
VTEST = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
MODEL = "yolox-nano"
MIB = 1 << 20
LONGEST_S = 1800  # a child that takes longer hangs


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build", help="build folder")
    p.add_argument("--python", help="Python of the peers; default .deps/bench/bin/python3")
    p.add_argument("--video", default=VTEST)
    p.add_argument("--cache", default=str(ROOT / ".cache/bench"), help="models, compiled models, the 1080p video")
    p.add_argument("--mirror", default=os.environ.get("FRAMEMILL_MODEL_MIRROR", str(ROOT / "../shared/data/models")))
    p.add_argument("--results", default=str(ROOT / "bench/results"))
    p.add_argument("--name", default="latest", help="name of the results")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--frames", type=int, default=800, help="of all streams of a row together")
    p.add_argument("--streams", default="1,4,8", help="rows of the main table")
    p.add_argument("--sizes", default="768x576,1080p", help="videos of the main table")
    p.add_argument("--curve", default="1,2,4,8,16,32,64", help="rows of the streams curve")
    p.add_argument("--styles", default="async,simple", help="peers, or none")
    p.add_argument("--batch", type=int, default=0, help="0: auto")
    p.add_argument("--workers", type=int, default=0, help="0: auto")
    p.add_argument("--main", action="store_true", help="the main table (default, with --first-result and --allocs)")
    p.add_argument("--first-result", action="store_true")
    p.add_argument("--allocs", action="store_true")
    p.add_argument("--streams-curve", action="store_true", help="cost a frame and memory from 1 to 64 streams")
    p.add_argument("--batch-table", action="store_true", help="batches of 1 ... 32: speed and memory")
    p.add_argument("--tracking", action="store_true", help="deepsort, against its floor and a Python pipeline with the same networks")
    p.add_argument("--models", action="store_true", help="each network alone, against ONNX Runtime and OpenCV's dnn")
    p.add_argument("--batches", default="1,4,16", help="of --models")
    p.add_argument("--several", action="store_true", help="detector, segmenter and classifier in a run, against the sum of the networks alone")
    p.add_argument("--accept-licence", action="store_true", help="--models and --several fetch models under the AGPL, too; else they are left out")
    p.add_argument("--all", action="store_true")
    a = p.parse_args()
    parts = ("main", "first_result", "allocs", "streams_curve", "batch_table", "tracking", "models", "several")
    if a.all or not any(getattr(a, name) for name in parts):
        for name in parts if a.all else parts[:3]:
            setattr(a, name, True)
    return a


class Ran:
    """What a child process did: output, wall and CPU seconds, peak memory, time to its first byte of output."""

    def __init__(self, command, env=None):
        begin = time.monotonic()
        with tempfile.TemporaryFile("w+") as errors:
            child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=errors, env=env)
            watch = threading.Timer(LONGEST_S, child.kill)
            watch.start()
            first = os.read(child.stdout.fileno(), 1)
            self.first_s = time.monotonic() - begin if first else None
            self.text = (first + child.stdout.read()).decode()
            _, status, usage = os.wait4(child.pid, 0)
            watch.cancel()
            self.wall_s = time.monotonic() - begin
            self.code = child.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            self.errors = errors.read()
        self.rss = usage.ru_maxrss * 1024
        self.cpu_s = usage.ru_utime + usage.ru_stime
        if self.code != 0 and "bench_allocs" not in str(command[0]):
            sys.exit(f"{' '.join(map(str, command))}\nended with {self.code}: {self.errors[-2000:]}")


class Bench:
    def __init__(self, args):
        self.a = args
        self.build = pathlib.Path(args.build).resolve()
        self.cache = pathlib.Path(args.cache).resolve()
        self.models = self.cache / "models"
        self.command = self.build / "cli/framemill"
        self.share = ROOT / "share/framemill"
        self.python = args.python or str(ROOT / ".deps/bench/bin/python3")
        self.env = dict(os.environ, FRAMEMILL_MODELS=str(self.models), FRAMEMILL_SHARE=str(self.share),
                        FRAMEMILL_MODEL_MIRROR=args.mirror, XDG_CACHE_HOME=str(self.cache / "xdg"))
        self.env.pop("MODEL_PATH", None)
        self.env.pop("BATCH_SIZE", None)
        self.fetched = set()
        self.out = pathlib.Path(tempfile.mkdtemp(prefix="framemill-bench-"))

    def prepare(self):
        self.models.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ninja", "-C", self.build, "cli/framemill", "bench/bench_floor", "bench/bench_allocs", "bench/bench_models"],
                       check=True, stdout=subprocess.DEVNULL)
        self.fetch([MODEL, *([tracking.EMBEDDER] if self.a.tracking else [])], check=True)
        if self.a.models or self.a.several:
            self.fetch(models.MODELS)

    def fetch(self, names, check=False):
        """What cannot be had is left out of a part's rows, and named on standard error by the command."""
        agree = ["--accept-licence"] if self.a.accept_licence else []
        for name in names:
            done = subprocess.run([self.command, "models", "fetch", *agree, name], check=check, env=self.env, stdout=subprocess.DEVNULL)
            if done.returncode == 0:
                self.fetched.add(name)

    def video(self, size):
        if size == "768x576":
            return self.a.video
        path = self.cache / "vtest_1080p.mp4"
        if not path.exists():
            part = path.with_suffix(".part.mp4")
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", self.a.video, "-vf", "scale=1920:1080,setsar=1", "-c:v", "libx264",
                            "-preset", "veryfast", "-crf", "21", "-pix_fmt", "yuv420p", part], check=True)
            part.rename(path)
        return str(path)

    def peer_model(self):
        """The ONNX file as its authors publish it, which is what a Python user would download."""
        found = sorted(self.models.rglob("yolox_nano.onnx")) or sorted(pathlib.Path(self.a.mirror).glob("yolox_nano.onnx"))
        return found[0] if found else sys.exit("no yolox_nano.onnx in the models folder or the mirror")

    def framemill(self, inputs, frames, batch=None, workers=None, extra=()):
        report = self.out / "report.json"
        extra = list(extra)
        for flag, value in (("--batch", batch or self.a.batch), ("--workers", workers or self.a.workers)):
            extra += [flag, value] if value else []
        ran = Ran([self.command, "run", *inputs, "--out", self.out / "fm", "--report", report, "--frames", frames, "--quiet",
                   *extra], self.env)
        r = json.loads(report.read_text())
        return {"fps": r["fps"], "frames": r["frames"], "seconds": r["seconds"], "wall_s": ran.wall_s, "cpu_s": ran.cpu_s, "rss": ran.rss,
                "memory": r.get("memory", {}), "batches": r.get("batches", {}), "stages": r.get("stages", {})}

    def floor(self, inputs, frames, batch=0, slots=0, extra=(), networks=(MODEL,)):
        names = [part for name in networks for part in ("--model", name)]
        ran = Ran([self.build / "bench/bench_floor", "--share", self.share, "--models", self.models, "--cache",
                   self.cache / "xdg/framemill/compiled", "--frames", frames, "--batch", batch or self.a.batch, "--slots",
                   slots or self.a.workers, *names, *extra, *inputs], self.env)
        return dict(json.loads(ran.text.splitlines()[-1]), rss=ran.rss)

    def network(self, name, batch, seconds):
        ran = Ran([self.build / "bench/bench_models", "--share", self.share, "--models", self.models, "--cache",
                   self.cache / "xdg/framemill/compiled", "--model", name, "--batch", batch, "--seconds", seconds], self.env)
        return dict(json.loads(ran.text), rss=ran.rss)

    def network_peer(self, backend, file, batch, seconds):
        ran = Ran([self.python, ROOT / "bench/peers/python_models.py", "--backend", backend, "--model", file, "--batch", batch, "--seconds", seconds],
                  self.env)
        return dict(json.loads(ran.text.splitlines()[-1]), rss=ran.rss)

    def peer(self, style, inputs, frames):
        out = self.out / "peer"
        out.mkdir(exist_ok=True)
        ran = Ran([self.python, ROOT / "bench/peers/python_pipeline.py", "--style", style, "--model", self.peer_model(), "--out", out,
                   "--frames", frames, *inputs], self.env)
        return dict(json.loads(ran.text.splitlines()[-1]), wall_s=ran.wall_s, cpu_s=ran.cpu_s, rss=ran.rss)

    def tracking_peer(self, inputs, frames):
        out = self.out / "peer"
        out.mkdir(exist_ok=True)
        embedder = next(iter(sorted(self.models.rglob("osnet_x0_25_msmt17.onnx"))))
        ran = Ran([self.python, ROOT / "bench/peers/python_tracking.py", "--model", self.peer_model(), "--embedder", embedder, "--out", out,
                   "--frames", frames, *inputs], self.env)
        return dict(json.loads(ran.text.splitlines()[-1]), wall_s=ran.wall_s, cpu_s=ran.cpu_s, rss=ran.rss)


def say(text):
    print(text, file=sys.stderr, flush=True)


def median_of(rounds, key):
    return statistics.median(key(r) for r in rounds)


def main_table(b):
    styles = [s for s in b.a.styles.split(",") if s not in ("", "none")]
    rows = []
    for size in b.a.sizes.split(","):
        for n in map(int, b.a.streams.split(",")):
            inputs, frames = [b.video(size)] * n, max(1, b.a.frames // n)
            rounds = []
            for i in range(b.a.rounds):
                r = {"floor": b.floor(inputs, frames), "framemill": b.framemill(inputs, frames)}
                r.update({s: b.peer(s, inputs, frames) for s in styles})
                rounds.append(r)
                say(f"{size} x{n} round {i + 1}: " + ", ".join(f"{k} {v['fps']:.1f}" for k, v in r.items()) + " frames/s")
            rows.append({"video": size, "streams": n, "rounds": rounds})
    return {"rows": rows, "styles": styles}


def main_markdown(part):
    styles = part["styles"]
    head = ["video", "streams", "frames/s", "floor", "of the floor", *(f"x Python {s}" for s in styles), "peak MiB",
            "floor's MiB", *(f"{s} MiB" for s in styles)]
    lines = []
    for row in part["rows"]:
        rounds = row["rounds"]
        lines.append([row["video"], row["streams"], f"{median_of(rounds, lambda r: r['framemill']['fps']):.1f}",
                      f"{median_of(rounds, lambda r: r['floor']['fps']):.1f}",
                      f"{median_of(rounds, lambda r: r['framemill']['fps'] / r['floor']['fps']):.3f}",
                      *(f"{median_of(rounds, lambda r, s=s: r['framemill']['fps'] / r[s]['fps']):.2f}" for s in styles),
                      *(f"{median_of(rounds, lambda r, k=k: r[k]['rss']) / MIB:.0f}" for k in ("framemill", "floor", *styles))])
    return table("Whole pipeline", head, lines)


def first_result(b):
    """Seconds from the process's start to the first line on its standard output; the first try fills the caches and does not count."""
    times = []
    for _ in range(b.a.rounds + 1):
        times.append(Ran([b.command, "run", b.a.video, "--frames", 64, "--quiet"], b.env).first_s)
    out = {"framemill_s": times[1:], "cold_s": times[0]}
    for style in [s for s in b.a.styles.split(",") if s not in ("", "none")]:
        out[style + "_s"] = [b.peer(style, [b.a.video], 64)["first_result_s"] for _ in range(b.a.rounds)]
    return out


def first_result_markdown(part):
    lines = [["framemill, nothing cached", f"{part['cold_s']:.2f}"], ["framemill", f"{statistics.median(part['framemill_s']):.2f}"]]
    lines += [["Python " + k[:-2], f"{statistics.median(v):.2f}"] for k, v in part.items() if k not in ("framemill_s", "cold_s")]
    return table("First result", ["program", "s from its start"], lines)


def allocs(b):
    program, cases = b.build / "bench/bench_allocs", {}
    models = ["--share", b.share, "--models", b.models]
    for name, command in {
            "testsrc, no network": ["--detector", "none", "testsrc:640x480@25"],
            "vtest.avi, motion": ["--detector", "motion", b.a.video],
            "vtest.avi, yolox-nano": [*models, "--detector", MODEL, b.a.video],
            "4 x vtest.avi, yolox-nano": [*models, "--detector", MODEL, *[b.a.video] * 4]}.items():
        ran = Ran([program, "--warm", 350, *command], b.env)
        if not ran.text:
            sys.exit(f"allocs ended with {ran.code}: {ran.errors}")
        cases[name] = min((json.loads(line) for line in ran.text.splitlines()), key=lambda r: r["own"])
        say(f"allocations, {name}: {cases[name]}")
    return cases


def allocs_markdown(part):
    lines = [[name, c["frames"], c["own"], f"{c['third_party_per_frame']:.1f}"] for name, c in part.items()]
    return table("Allocations in the steady state", ["run", "frames", "by framemill, in all", "by third parties, a frame"], lines)


def streams_curve(b):
    rows = []
    for n in map(int, b.a.curve.split(",")):
        frames = max(40, b.a.frames // n)  # enough to fill the rings
        r = b.framemill([b.a.video] * n, frames)
        rows.append(dict(r, streams=n))
        say(f"{n} streams: {1000 / r['fps']:.2f} ms a frame, {r['rss'] / MIB:.0f} MiB")
    return rows



def streams_curve_markdown(part):
    lines = []
    for r in part:
        more = (r["rss"] - part[0]["rss"]) / (r["streams"] - 1) / MIB if r["streams"] > 1 else 0
        lines.append([r["streams"], r["frames"], f"{1000 / r['fps']:.2f}", f"{1000 * r['cpu_s'] / r['frames']:.2f}", f"{r['rss'] / MIB:.0f}",
                      f"{more:.1f}" if more else "", f"{sum(m['peak_bytes'] for m in r['memory'].values()) / MIB:.1f}"])
    return table("Streams", ["streams", "frames", "ms a frame", "CPU ms a frame", "peak MiB", "MiB for each further stream",
                             "through framemill's allocator, MiB"], lines)


def batch_table(b):
    inputs, rows = [b.a.video] * 4, []
    for batch in (1, 2, 4, 8, 16, 32):
        frames = max(1, b.a.frames // 4)
        rows.append({"batch": batch, "floor": b.floor(inputs, frames, batch), "framemill": b.framemill(inputs, frames, batch)})
        say(f"batch {batch}: {rows[-1]['framemill']['fps']:.1f} frames/s")
    return rows


def batch_table_markdown(part):
    lines = [[r["batch"], r["floor"]["slots"], f"{r['floor']['infer_fps']:.1f}", f"{r['framemill']['fps']:.1f}",
              f"{r['framemill']['fps'] / r['floor']['fps']:.3f}", f"{r['framemill']['rss'] / MIB:.0f}"] for r in part]
    return table("Batches (4 streams)", ["batch", "slots", "network alone, frames/s", "run, frames/s", "of the floor", "peak MiB"], lines)


def tracking_markdown(part):
    return table("Tracking (deepsort)", *tracking.lines(part))


def models_markdown(part):
    return table("Networks alone", *models.lines(part))


def several_markdown(part):
    return table("Three models on a frame", *several.lines(part))


def table(title, head, lines):
    rows = [head, ["---"] * len(head), *lines]
    return f"### {title}\n\n" + "\n".join("| " + " | ".join(str(c) for c in row) + " |" for row in rows) + "\n"


def machine():
    cpu = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "commit": commit, "model": MODEL,
            "date": datetime.date.today().isoformat(), "load": os.getloadavg()[0]}


def main():
    args = parse_args()
    b = Bench(args)
    where = machine()
    if where["load"] > 0.5:
        say(f"warning: the load is {where['load']:.1f}: other programs will be seen in the numbers")
    b.prepare()
    parts = {"main": (main_table, main_markdown), "first_result": (first_result, first_result_markdown),
             "allocs": (allocs, allocs_markdown), "streams_curve": (streams_curve, streams_curve_markdown),
             "batch_table": (batch_table, batch_table_markdown), "tracking": (tracking.measure, tracking_markdown),
             "models": (models.measure, models_markdown), "several": (several.measure, several_markdown)}
    results = {"machine": where, "command": " ".join(["bench/run.py", *sys.argv[1:]])}
    text = f"{where['cpu']}, {where['cores']} cores, commit {where['commit']}, {where['date']}, {MODEL}, median of {args.rounds}.\n\n"
    for name, (measure, markdown) in parts.items():
        if getattr(args, name):
            results[name] = measure(b)
            text += markdown(results[name]) + "\n"
    folder = pathlib.Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{args.name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{args.name}.md").write_text(text)
    shutil.rmtree(b.out)
    print(text)


if __name__ == "__main__":
    main()
