# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""JSON Lines of many streams in a folder, and how far each has come, so that a run whose own process was killed goes on.

OUT/<stream>.jsonl holds the lines, OUT/.cluster/<stream> the last checkpoint: how many bytes of the lines belong to it, the frame, and the
state behind it. A checkpoint is written when the lines before it are on the disk, under another name first; so it never speaks of lines that
are not there, and lines behind it are cut off when the run goes on: they come again."""
from __future__ import annotations

import json
import os
import pathlib
import time
from typing import BinaryIO

from ..errors import FramemillError, InvalidArgument
from .records import Record

FOLDER = ".cluster"
EVERY_S = 2.0


class _Lines:
    """A stream's file."""

    def __init__(self, out: pathlib.Path, name: str) -> None:
        self.path, self.note = out / f"{name}.jsonl", out / FOLDER / name
        self.file: BinaryIO | None = None
        self.at = 0
        self.checkpoint: tuple[int, int, bytes] | None = None  # of the next commit: bytes, frame, state

    def write(self, line: bytes) -> None:
        if self.file is None:
            self.file = self.path.open("r+b" if self.at else "wb")
            self.file.truncate(self.at)
            self.file.seek(self.at)
        self.at += self.file.write(line + b"\n")

    def commit(self, ended: bool) -> None:
        if self.file is not None:
            self.file.flush()
            os.fsync(self.file.fileno())
        at, frame, state = self.checkpoint if self.checkpoint and not ended else (self.at, -1, b"")
        head = json.dumps({"bytes": at, "frame": frame, "ended": ended}).encode()
        new = self.note.with_name(self.note.name + ".new")
        with new.open("wb") as f:
            f.write(head + b"\n" + state)
            f.flush()
            os.fsync(f.fileno())
        os.replace(new, self.note)
        self.checkpoint = None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class Journal:
    def __init__(self, out: pathlib.Path, names: list[str], resume: bool) -> None:
        """With `resume` what an unfinished run left is gone on with; without, there must be none."""
        self._out, self._folder = out, out / FOLDER
        unfinished = self._folder.is_dir()
        if unfinished and not resume:
            raise InvalidArgument(f"'{out}' holds a run that did not come to its end: go on with it with --resume, or remove '{self._folder}'",
                                  "INVAL")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise FramemillError(f"'{out}' cannot be written: {e.strerror}", "IO", e.errno or 0) from e
        self._lines = {n: _Lines(out, n) for n in names}
        self._committed = time.monotonic()
        #: Of streams that go on: the last frame that is kept, and the state behind it.
        self.taken: dict[str, tuple[int, bytes]] = {}
        #: Streams of which all is there.
        self.ended: list[str] = []
        if unfinished:
            for name, lines in self._lines.items():
                self._read(name, lines)

    def _read(self, name: str, lines: _Lines) -> None:
        try:
            head, _, state = lines.note.read_bytes().partition(b"\n")
            note = json.loads(head)
            size = lines.path.stat().st_size if note["bytes"] else 0
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError) as e:
            raise FramemillError(f"'{lines.note}' cannot be read ({e}): remove it, and stream '{name}' begins anew", "FORMAT") from e
        if size < note["bytes"]:
            raise FramemillError(f"'{lines.path}' has {size} bytes, and {note['bytes']} were written: it was changed since; "
                                 f"remove '{lines.note}', and stream '{name}' begins anew", "FORMAT")
        lines.at = note["bytes"]
        if note["ended"]:
            self.ended.append(name)
        else:
            self.taken[name] = (note["frame"], state)

    def write(self, record: Record) -> None:
        lines = self._lines[record.stream]
        lines.write(record.line)
        if record.state is not None:
            lines.checkpoint = (lines.at, record.frame, record.state)
        if time.monotonic() - self._committed > EVERY_S:
            self.commit()

    def commit(self) -> None:
        """What can be, of all streams."""
        for lines in self._lines.values():
            if lines.checkpoint:
                lines.commit(ended=False)
        self._committed = time.monotonic()

    def end(self, name: str) -> None:
        """A stream has given its last record."""
        lines = self._lines[name]
        if lines.file is None and lines.at == 0:
            lines.path.open("wb").close()
        lines.commit(ended=True)
        lines.close()

    def finish(self) -> None:
        """All streams have ended: nothing is left to go on with."""
        for lines in self._lines.values():
            lines.note.unlink(missing_ok=True)
        self._folder.rmdir()

    def close(self) -> None:
        self.commit()
        for lines in self._lines.values():
            lines.close()
