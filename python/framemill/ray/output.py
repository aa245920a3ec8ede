# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The folder of an offline job: two partitioned datasets, and a manifest that says what in them is whole.

    OUT/objects/stream=NAME/part-0.parquet
    OUT/frames/stream=NAME/part-0.parquet
    OUT/manifest.jsonl      first line: the settings; then lines "begin" and results, a result once both parts are in their place
    OUT/tmp/                what workers write

Only the driver renames and writes the manifest, so nobody's late work can get in. A result that has begun and not ended is taken
back when the folder is opened again: however a job ended, the datasets hold what the manifest's results say and nothing else."""
from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from typing import Any, Iterator, Mapping

from .._lib import lib, text
from ..errors import FramemillError, InvalidArgument

KINDS = ("objects", "frames")
FORMAT = 1
HEAD = b'{"framemill": "map_videos"'


def _sync(folder: pathlib.Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def digest(settings: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


class Output:
    """One job's folder, its own until closed. With resume what is there must be of the same settings; without, what was there is
    deleted, provided that map_videos made it."""

    def __init__(self, out: str | os.PathLike[str], settings: Mapping[str, str], resume: bool = True) -> None:
        self.folder = pathlib.Path(os.path.abspath(out))
        self.tmp = self.folder / "tmp"
        self.results: dict[str, dict[str, Any]] = {}  # by path; the last of each
        self._settings, self._digest = dict(settings), digest(settings)
        with self._writing():
            self._open(resume)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise FramemillError(f"cannot write to the folder '{self.folder}': {e.strerror or e}", "IO") from e

    def _open(self, resume: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "manifest.jsonl"
        if not path.exists() and any(self.folder.iterdir()):
            raise InvalidArgument(f"the folder '{self.folder}' is not empty, and map_videos did not make what is in it: give another", "INVAL")
        self._file = open(path, "a+b")
        try:
            self._lock()
            self._load(resume)
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FramemillError(f"another map_videos writes to '{self.folder}' now: wait for it, or give another folder", "BUSY") from None

    def _load(self, resume: bool) -> None:
        lines, pending = self._read(resume), dict[str, str]()
        head = lines[0] if lines else None
        for line in lines[1:]:
            if "begin" in line:
                pending[line["path"]] = line["begin"]
                self.results.pop(line["path"], None)
            else:
                pending.pop(line["path"], None)
                self.results[line["path"]] = line
        if head and resume:
            self._same_settings(head)
        for name in [*pending.values(), *([] if resume else [r["name"] for r in self.results.values()])]:
            self._remove(name)
        for folder in (self.tmp, *(self.folder / kind for kind in KINDS)):
            folder.mkdir(exist_ok=True)
        self.sweep()
        if not head or not resume:
            self.results.clear()
            self._file.truncate(0)
            self._append({"framemill": "map_videos", "format": FORMAT, "version": text(lib.fm_version()),
                          "settings": self._settings})
            _sync(self.folder)

    def _read(self, strict: bool) -> list[dict[str, Any]]:
        """The manifest's lines. A last one that was not written whole is cut off; one that is damaged is an error, or left out."""
        self._file.seek(0)
        whole, lines = 0, list[dict[str, Any]]()
        for n, raw in enumerate(self._file, 1):
            if n == 1 and not raw.startswith(HEAD[:len(raw)]):
                raise InvalidArgument(f"'{self._file.name}' is no manifest of map_videos: give another folder", "INVAL")
            if not raw.endswith(b"\n"):
                break
            try:
                lines.append(json.loads(raw))
            except ValueError:
                if strict:
                    raise FramemillError(f"line {n} of '{self._file.name}' is damaged: give another folder, or resume=False to begin anew",
                                         "FORMAT") from None
            whole += len(raw)
        self._file.truncate(whole)
        if lines and lines[0].get("format") != FORMAT:
            raise FramemillError(f"'{self._file.name}' was written by another version of framemill: give another folder", "UNSUPPORTED")
        return lines

    def _same_settings(self, head: Mapping[str, Any]) -> None:
        there = head["settings"]
        for key in sorted({*there, *self._settings}):
            was, now = (f"{key}={s[key]}" if key in s else f"no {key}" for s in (there, self._settings))
            if was != now:
                raise InvalidArgument(f"what is in '{self.folder}' was made with {was}, and now it is {now}: give another folder, or "
                                      "resume=False to delete it and begin anew", "INVAL")

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def part(self, kind: str, name: str) -> pathlib.Path:
        return self.folder / kind / f"stream={name}" / "part-0.parquet"

    def _remove(self, name: str) -> None:
        for kind in KINDS:
            part = self.part(kind, name)
            part.unlink(missing_ok=True)
            if part.parent.is_dir() and not any(part.parent.iterdir()):
                part.parent.rmdir()
                _sync(part.parent.parent)

    def _place(self, kind: str, name: str, written: str) -> None:
        part = self.part(kind, name)
        part.parent.mkdir(parents=True, exist_ok=True)
        os.replace(written, part)
        _sync(part.parent)
        _sync(part.parent.parent)

    def is_done(self, path: str, size: int | None, mtime_ns: int | None) -> bool:
        """Its results are here, and the file is still the one they are of."""
        r = self.results.get(path)
        return (r is not None and r["error"] is None and (r["size"], r["mtime_ns"]) == (size, mtime_ns)
                and all(self.part(kind, r["name"]).exists() for kind in KINDS))

    def publish(self, path: str, name: str, size: int | None, mtime_ns: int | None, outcome: Mapping[str, Any]) -> None:
        """What a worker made of a file: `files` by kind take their places, both or none; where there are none, nothing of it stays."""
        counts = {k: outcome[k] for k in ("frames", "objects", "bad_frames", "seconds", "error")}
        with self._writing():
            self._append({"begin": name, "path": path})
            for kind, written in outcome["files"].items():
                self._place(kind, name, written)
            if not outcome["files"]:
                self._remove(name)
            self.results[path] = {"path": path, "name": name, "size": size, "mtime_ns": mtime_ns, **counts, "settings": self._digest}
            self._append(self.results[path])

    def sweep(self) -> None:
        """What workers left half done."""
        for f in self.tmp.glob("*.parquet"):
            f.unlink(missing_ok=True)

    def close(self) -> None:
        self.sweep()
        self._file.close()
