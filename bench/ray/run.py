#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill over Ray against the design that sends pixels, against one process, and against the network alone, in turns in one run.

    .deps/bench/bin/python3 bench/ray/run.py build vtest.avi [--actors 1,2] [--streams 4] [--frames 400] [--rounds 3] [--json FILE]

pixels    bench/peers/ray_pixels.py with as many actors, OpenVINO's threads as they come
shared    the same with the cores shared out among the actors (from two actors on; with one it is the same)
ray       framemill.ray.VideoStreamManager with as many workers, each with its share of the cores (num_cpus), else its defaults
command   `framemill run`, one process, all cores
network   bench/bench_floor: the network alone, all cores

Rates are those of bench/peers/steady.py for all but the network: from the moment at which each stream has given 16 results to the one at which
a stream has given its last. So neither Ray's start nor the models' loading nor the end is in them. For `ray` a manager of the same settings has run
before over a few frames, so that the cluster is up and files and compiled models lie in caches. A ratio is the median over the rounds of the
ratio within a round; in brackets the least and the most. ms CPU: processor time a frame of the process and all below it, Ray's own included.
Needs the environment of `./bootstrap bench-deps`."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DETECTOR = "yolox-nano"
CORES = len(os.sched_getaffinity(0))
LONGEST_S = 1800

sys.path.insert(0, str(ROOT / "bench/peers"))
import steady  # noqa: E402


def use_tree(build):
    """The package and the library of the source tree, here and in all that is started from here; models in the cache that bench/run.py fills."""
    cache = ROOT / ".cache/bench"
    os.environ["FRAMEMILL_LIBRARY"] = str(build / "src/libframemill.so.0")
    folders = (ROOT / "python", build / "tests/python", ROOT / "bench/ray", ROOT / "bench/peers")  # actors import from there, too
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    os.environ.setdefault("FRAMEMILL_MODELS", str(cache / "models"))
    os.environ.setdefault("FRAMEMILL_SHARE", str(ROOT / "share/framemill"))
    os.environ.setdefault("FRAMEMILL_MODEL_MIRROR", str(ROOT / "../shared/data/models"))
    os.environ.setdefault("XDG_CACHE_HOME", str(cache / "xdg"))
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)


def prepare(build):
    subprocess.run(["ninja", "-C", build, "bench/bench_floor", "cli/framemill", "src/libframemill.so.0", "tests/python/_framemill_abi.py"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([build / "cli/framemill", "models", "fetch", DETECTOR], check=True, stdout=subprocess.DEVNULL)


def model_file():
    """The network's file with a free batch, which framemill runs, too."""
    found = sorted(pathlib.Path(os.environ["FRAMEMILL_MODELS"], DETECTOR).glob("*.xml"))
    return found[0] if found else sys.exit(f"no IR of {DETECTOR} in {os.environ['FRAMEMILL_MODELS']}")


def last_json(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=LONGEST_S)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def pixels(a, actors, threads=0):
    got = last_json([sys.executable, ROOT / "bench/peers/ray_pixels.py", "--model", model_file(), "--actors", actors, "--threads", threads,
                     "--frames", a.frames, *[a.video] * a.streams])
    return {**got["steady"], "objects": got["objects"], "pixel_bytes": got["pixel_bytes"]}


def over_ray(a, actors):
    return last_json([sys.executable, __file__, a.build, a.video, "--child", "--actors", actors, "--frames", a.frames, "--streams", a.streams])


def child(a):
    """A process of its own, as a user's program is."""
    import framemill.ray

    def work(frames, seen):
        with framemill.ray.VideoStreamManager([a.video] * a.streams, workers=a.actors[0], num_cpus=max(1, CORES // a.actors[0]), detector=DETECTOR,
                                              frames=frames) as manager:
            for record in manager:
                seen(record)

    framemill.ray.connect()
    work(steady.SKIP, lambda record: None)
    watch, objects = steady.Steady(a.streams, a.frames), 0

    def seen(record):
        nonlocal objects
        watch.add(record.stream)
        objects += record.to_json().count('"box"')

    work(a.frames, seen)
    print(json.dumps({**watch.report(), "objects": objects}))


def command(a):
    line = [a.build / "cli/framemill", "run", "--quiet", "--detector", DETECTOR, "--frames", str(a.frames), *[a.video] * a.streams]
    objects = 0
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as p:
        watch = steady.Steady(a.streams, a.frames, p.pid)
        for text in p.stdout:
            watch.add(text.split('"', 4)[3])
            objects += text.count('"box"')
    return {**watch.report(), "objects": objects} if p.returncode == 0 else sys.exit(f"{line} ended with {p.returncode}")


def floor(a):
    """Decoding alone and the network alone."""
    env = os.environ
    return last_json([a.build / "bench/bench_floor", "--share", env["FRAMEMILL_SHARE"], "--models", env["FRAMEMILL_MODELS"], "--cache",
                      pathlib.Path(env["XDG_CACHE_HOME"], "framemill/compiled"), "--model", DETECTOR, "--frames", a.frames, a.video])


def network(a):
    got = floor(a)
    return {"fps": got["infer_fps"], "frames": got["frames"]}


def turns_of(a):
    turns = {"network": network, "command": command}
    for n in a.actors:
        turns[f"pixels {n}"] = lambda a, n=n: pixels(a, n)
        if n > 1:
            turns[f"shared {n}"] = lambda a, n=n: pixels(a, n, max(1, CORES // n))
        turns[f"ray {n}"] = lambda a, n=n: over_ray(a, n)
    return turns


def measure(a):
    turns, rounds = turns_of(a), []
    for i in range(a.rounds):
        rounds.append({name: turn(a) for name, turn in turns.items()})
        print(f"round {i + 1}, load {os.getloadavg()[0]:.1f}: " + ", ".join(f"{k} {v['fps']:.1f}" for k, v in rounds[-1].items()) + " frames/s",
              file=sys.stderr, flush=True)
    return rounds


def ratio(rounds, over, under):
    """As text; empty where one of them was not measured."""
    if over not in rounds[0] or under not in rounds[0]:
        return ""
    values = [r[over]["fps"] / r[under]["fps"] for r in rounds]
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def table(rounds):
    lines = ["| | frames/s | ms CPU a frame | x pixels | x shared | of command | of network |", "|---|---|---|---|---|---|---|"]
    for name in rounds[0]:
        kind, _, n = name.partition(" ")
        fps = statistics.median(r[name]["fps"] for r in rounds)
        cpu = statistics.median(1e3 * r[name].get("cpu_s", 0) / r[name]["frames"] for r in rounds)
        against = [f"pixels {n}", f"shared {n}"] if kind == "ray" else ["", ""]
        against += ["command" if kind == "ray" else "", "network" if kind != "network" else ""]
        lines.append(f"| {name} | {fps:.1f} | {f'{cpu:.1f}' if cpu else ''} | " + " | ".join(ratio(rounds, name, b) for b in against) + " |")
    return "\n".join(lines) + "\n"


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu, "cores": CORES, "kernel": platform.release(), "commit": commit, "date": datetime.date.today().isoformat(),
            "load": os.getloadavg()[0]}


def shown_command(program):
    """What was typed, without folders of this machine."""
    return " ".join([program, *(pathlib.Path(w).name if w.startswith("/") else w for w in sys.argv[1:])])


def arguments(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("video")
    p.add_argument("--actors", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2])
    p.add_argument("--streams", type=int, default=4)
    p.add_argument("--frames", type=int, default=400, help="of each stream")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", type=pathlib.Path, help="a file for all that was measured")
    return p


def main():
    p = arguments(__doc__)
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    a.build = a.build.resolve()
    use_tree(a.build)
    if a.child:
        child(a)
        return
    where = machine()
    prepare(a.build)
    rounds = measure(a)
    objects = {name: sorted({r[name]["objects"] for r in rounds}) for name in rounds[0] if "objects" in rounds[0][name]}
    print(f"{where['cpu']}, {where['cores']} cores, {DETECTOR}, {a.streams} streams of {a.frames} frames, {a.rounds} rounds, load {where['load']:.1f} "
          f"to {os.getloadavg()[0]:.1f}\n\n{table(rounds)}\nobjects: " + ", ".join(f"{k} {v}" for k, v in objects.items()))
    if a.json:
        a.json.write_text(json.dumps({"machine": where, "command": shown_command("bench/ray/run.py"), "rounds": rounds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
