#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs endless test streams for a while and watches the memory of the process: usage soak.py FRAMEMILL SECONDS."""

import signal
import subprocess
import sys
import time

LIMIT_BYTES = 8 * 1024 * 1024


def rss(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def main() -> int:
    command, seconds = sys.argv[1], float(sys.argv[2])
    streams = [f"testsrc:640x480@200,seed={i}" for i in range(4)]
    # A file handle and not a pipe: nobody would read it.
    with open("/dev/null", "wb") as sink:
        run = subprocess.Popen([command, "run", *streams, "--detector", "motion", "--realtime", "--quiet"], stdout=sink)
        samples = []
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and run.poll() is None:
                time.sleep(max(0.2, seconds / 100))
                samples.append(rss(run.pid))
        finally:
            run.send_signal(signal.SIGTERM)
            code = run.wait(timeout=30)
    settled = samples[len(samples) // 5:]
    half = len(settled) // 2
    first, second = max(settled[:half]), max(settled[half:])
    print(f"peak of the first half {first / 2**20:.1f} MiB, of the second {second / 2**20:.1f} MiB, exit code {code}")
    return 0 if second - first <= LIMIT_BYTES and code == 130 else 1


if __name__ == "__main__":
    sys.exit(main())
