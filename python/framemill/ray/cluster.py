# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""`framemill cluster`: a configuration of `framemill run` over a Ray cluster, and what goes on there. docs/cluster.md."""
from __future__ import annotations

import argparse
import json
import logging
import pathlib
import signal
import sys
import time
from types import FrameType
from typing import Any, Callable, TextIO

from .._lib import Owned, call, ffi, lib, text
from ..errors import FramemillError, InvalidArgument
from ._cluster import connect, leave
from .board import Board, nodes, runs, table
from .journal import Journal
from .streams import VideoStreamManager

DONE, FAILED, USAGE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130
SHOW_S = 1.0


def load(path: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """(settings, streams) of a configuration file, as the library reads it."""
    out = ffi.new("fm_config **")
    call(lib.fm_config_load, path.encode(), out)
    config = Owned(out[0], lib.fm_config_free)
    settings = {}
    for i in range(lib.fm_option_count()):
        key = lib.fm_option_get(i).key
        value = text(lib.fm_config_get(config.get(), key)) if key != ffi.NULL else None
        if value is not None:
            settings[text(key) or ""] = value
    opts = ffi.new("fm_run_opts *")
    lib.fm_run_opts_init(opts)
    lib.fm_config_apply(config.get(), opts)
    return settings, [_stream(opts.streams[i]) for i in range(opts.stream_count)]


def _stream(s: Any) -> dict[str, Any]:
    given = {"url": s.url, "name": s.name, "denoise": s.enhance.denoise, "color": s.enhance.color, "lut": s.enhance.lut}
    texts = {k: text(v) for k, v in given.items() if v != ffi.NULL}
    return {**texts, **({"start_frame": int(s.start_frame)} if s.start_frame else {})}


class _Signals:
    """The first Ctrl-C, or SIGTERM, ends the streams and takes what was read; the second ends at once."""

    def __init__(self) -> None:
        self.count = 0
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, self._on)

    def _on(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt


class _Screen:
    """A table that the next one replaces; where standard error is no terminal, nothing."""

    def __init__(self, file: TextIO, quiet: bool) -> None:
        self._file, self._on, self._shown = file, not quiet and file.isatty(), 0

    def show(self, lines: Callable[[], list[str]]) -> None:
        if self._on:
            new = lines()
            self._file.write(f"\x1b[{self._shown}A" * bool(self._shown) + "".join(f"\x1b[2K{line}\n" for line in new) + "\x1b[J")
            self._file.flush()
            self._shown = len(new)


def _run(manager: VideoStreamManager, journal: Journal | None, names: list[str], screen: _Screen, signals: _Signals) -> None:
    board, shown, ended = Board(), 0.0, set(journal.ended if journal else ())
    while True:
        try:
            record = manager.next(timeout_ms=200)
        except TimeoutError:
            record = None
            over = False
        else:
            over = record is None
        if record is not None and journal:
            journal.write(record)
        elif record is not None:
            sys.stdout.buffer.write(record.line + b"\n")
        if signals.count == 1 and not manager.stopping:
            manager.stop()
        if time.monotonic() - shown > SHOW_S or over:
            shown = time.monotonic()
            status = {"progress": manager.progress, "workers": manager.workers}
            board.put(status)
            screen.show(lambda: table(nodes(), {board.name: status}))
            for name in manager.over() - ended if journal and not manager.stopping else ():
                assert journal is not None
                journal.end(name)
                ended.add(name)
            sys.stdout.buffer.flush()
        if over:
            return


def run(a: argparse.Namespace) -> int:
    settings, streams = load(a.config)
    out, report = a.out or settings.pop("out", None), a.report or settings.pop("report", None)
    for key in ("out", "report", "log_level"):
        settings.pop(key, None)
    if not streams:
        raise InvalidArgument(f"'{a.config}' names no streams", "INVAL")
    if a.resume and not out:
        raise InvalidArgument("--resume goes on with what lies in a folder: give --out", "INVAL")
    signals = _Signals()
    with VideoStreamManager(streams, int(settings.pop("buffer_size", 30)), settings, workers=_workers(a.workers), num_cpus=a.num_cpus,
                            num_gpus=a.num_gpus, streams_per_worker=a.streams_per_worker, checkpoint_every=a.checkpoint_every,
                            address=a.address) as manager:
        names = manager.names
        journal = Journal(pathlib.Path(out), names, a.resume) if out else None
        if journal:
            manager.begin_at(journal.taken)
            manager.leave_out(journal.ended)
        try:
            _run(manager, journal, names, _Screen(sys.stderr, a.quiet), signals)
        finally:
            if journal:
                journal.close()
        if journal and not signals.count and not manager.errors:
            journal.finish()
        return _end(manager, report, a, signals)


def _end(manager: VideoStreamManager, report: str | None, a: argparse.Namespace, signals: _Signals) -> int:
    said, p = manager.report(), manager.progress
    if report:
        pathlib.Path(report).write_text(json.dumps(said, indent=1) + "\n")
    if a.json:
        print(json.dumps(said))
    for name, error in manager.errors.items():
        print(f"framemill: stream '{name}': {error}", file=sys.stderr)
    if not a.quiet:
        lost = f"; {p['lost']:.0f} workers were lost, their streams went on elsewhere" if p["lost"] else ""
        print(f"{p['frames']:.0f} frames of {p['streams']:.0f} streams in {p['seconds']:.1f} s, {p['objects']:.0f} objects{lost}", file=sys.stderr)
    failed = len(manager.errors)
    return INTERRUPTED if signals.count else DONE if not failed else FAILED if failed == len(said["streams"]) else PARTLY


def status(a: argparse.Namespace) -> int:
    connect(a.address or "auto")
    try:
        machines, all_runs = nodes(), runs()
    finally:
        leave()
    if a.json:
        print(json.dumps({"nodes": machines, "runs": all_runs}))
    else:
        print("\n".join(table(machines, all_runs) + ([] if all_runs else ["no framemill runs here"])))
    return DONE


def _workers(value: str) -> tuple[int, int]:
    least, _, most = value.partition("-")
    if not least.isdigit() or not (most or least).isdigit():
        raise InvalidArgument(f"--workers is '{value}'; a number, or LEAST-MOST, was expected", "INVAL")
    return int(least), int(most or least)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="framemill cluster", description=__doc__)
    commands = p.add_subparsers(dest="command", required=True)
    r = commands.add_parser("run", help="a configuration of `framemill run` over the cluster")
    r.add_argument("config")
    r.add_argument("--workers", default="2")
    r.add_argument("--num-cpus", type=float, default=1)
    r.add_argument("--num-gpus", type=float, default=0)
    r.add_argument("--streams-per-worker", type=int, default=8)
    r.add_argument("--checkpoint-every", type=int, default=25)
    r.add_argument("--out")
    r.add_argument("--report")
    for flag in ("--resume", "--json", "--quiet"):
        r.add_argument(flag, action="store_true")
    s = commands.add_parser("status", help="machines, workers and runs of a cluster")
    s.add_argument("--json", action="store_true")
    for c in (r, s):
        c.add_argument("--address")
    return p


def main(words: list[str] | None = None) -> int:
    logging.basicConfig(format="framemill: %(message)s", level=logging.WARNING)
    a = parser().parse_args(words)
    try:
        return run(a) if a.command == "run" else status(a)
    except FramemillError as e:
        print(f"framemill: {e}", file=sys.stderr)
        return USAGE if isinstance(e, InvalidArgument) or e.status == "FORMAT" else FAILED
    except OSError as e:
        print(f"framemill: '{e.filename}': {e.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
