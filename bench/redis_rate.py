#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A run's rate with Redis there, away, slow (each piece 50 ms late) and full (OOM), against the same run without, in turns in one
run: medians, and ratios to the run without; the processor time of all threads likewise, which other processes disturb less.

    bench/redis_rate.py build [INPUT...] [--rounds 5] [-- FLAG...]
"""

import argparse
import contextlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e/cli"))
import redis_server  # noqa: E402


def rate(build, folder, inputs, flags, url):
    config = folder / "c.yaml"
    config.write_text("redis: {flush: 0}\n")
    redis = ["--redis", url, "--redis-producer", "bench", "--redis-spool", folder / "spool"] if url else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([build / "cli/framemill", "run", "--quiet", "--config", config, "--out", folder / "out", "--report", folder / "r.json", *redis,
                    *flags, *inputs], check=True)
    report = json.loads((folder / "r.json").read_text())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return report["fps"], cpu / report["frames"] * 1e3, report.get("redis")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("inputs", nargs="*", default=["testsrc:640x480@1000,frames=2000,shapes=8"])
    p.add_argument("--rounds", type=int, default=5)
    ours, flags = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv else (sys.argv[1:], [])
    o = p.parse_args(ours)
    flags = flags or ["--detector", "shapes", "--tracker", "bytetrack"]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        servers = {}
        for kind, options in (("there", ()), ("full", ("--maxmemory", "1"))):
            (folder / kind).mkdir()
            servers[kind] = redis_server.Server(folder / kind, *options)
            stack.callback(servers[kind].kill)
            servers[kind].start()
        relay = redis_server.Relay(folder / "slow", servers["there"].socket, 0.05)
        stack.callback(relay.close)
        urls = {"without": None, "there": servers["there"].url, "away": f"unix://{folder}/nobody", "slow": f"unix://{folder}/slow",
                "full": servers["full"].url}
        rates, put = {kind: [] for kind in urls}, 0
        for _ in range(o.rounds):
            for kind, url in urls.items():
                fps, cpu_ms, redis = rate(o.build, folder, o.inputs, flags, url)
                rates[kind].append((fps, cpu_ms))
                put = redis["put"] if redis else put
    print(f"{put} entries a run, {o.rounds} rounds")
    for kind, pairs in rates.items():
        line = f"{kind:8}"
        for i, unit in enumerate(("frames/s", "ms CPU a frame")):
            ratios = [a[i] / b[i] for a, b in zip(pairs, rates["without"])]
            line += (f" {statistics.median(p[i] for p in pairs):9.3f} {unit}, {statistics.median(ratios):.3f} of without "
                     f"({min(ratios):.3f} .. {max(ratios):.3f})")
        print(line)


if __name__ == "__main__":
    main()
