# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""A video's results as rows of two tables: frames, and the objects in them. Models are loaded once and take one file after another."""
from __future__ import annotations

import importlib
import json
import os
import pathlib
import uuid
from typing import Any, Iterable, Iterator, Mapping

from ..config import Config, Settings
from ..errors import FramemillError, InvalidArgument, MissingPackage
from ..streams import VideoStreamManager
from ._cluster import COMMAND

Line = dict[str, Any]

POLL_MS = 10      # how long to wait for a result before asking whether the stream has ended
ROWS = 8192       # that are held until they are written
STREAM = "video"  # the one stream of a manager
#: Settings that write files beside the datasets, or make no sense for files that are processed one after the other.
REFUSED = {"out", "annotate", "maps", "report", "trace", "profile", "detections", "max_streams", "realtime", "mot_box"}
FILES = ("detector", "segmenter", "classifier", "embedder", "labels", "torch_ops", "lut")

_WHERE = [("frame", "int64"), ("pts_ms", "float64"), ("width", "int32"), ("height", "int32")]
_OBJECT = [("label", "string"), ("class_id", "int32"), ("score", "float32"), ("x", "float32"), ("y", "float32"), ("w", "float32"),
           ("h", "float32"), ("track_id", "int64"), ("extra", "string")]
#: Columns and their types. `extra` is JSON of what settings add to a line of `framemill run`: masks, classes, features, ...
COLUMNS: dict[str, list[tuple[str, str]]] = {
    "frames": [*_WHERE, ("file", "string"), ("objects", "int32"), ("error", "string"), ("extra", "string")],
    "objects": [*_WHERE, *_OBJECT],
    "joined": [("path", "string"), ("stream", "string"), *_WHERE, ("file", "string"), *_OBJECT, ("error", "string"),
               ("frame_extra", "string")],
}
_FRAME_KEYS = {"stream", "frame", "pts_ms", "width", "height", "file", "objects", "error"}
_OBJECT_KEYS = {"label", "class_id", "score", "box", "track_id"}


def need_pyarrow(module: str = "pyarrow") -> Any:
    """pyarrow or a part of it, or MissingPackage with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise MissingPackage(f"rows of results need the package pyarrow: {COMMAND}", "UNSUPPORTED") from e


def schema(kind: str) -> Any:
    pa = need_pyarrow()
    return pa.schema([(name, pa.type_for_alias(type_name)) for name, type_name in COLUMNS[kind]])


def table(kind: str, rows: list[Line]) -> Any:
    return need_pyarrow().Table.from_pylist(rows, schema=schema(kind))


def worker_settings(config: Config | None, settings: Config) -> dict[str, Any]:
    """Both as one, with the keys of configuration files and full paths; refuses what has no place in a job."""
    given = Settings(config, settings)
    refused = [k for k in given.values if k in REFUSED or k.startswith(("store_", "redis_"))]
    refused += [k for k in ("pictures", "stays", "checkpoint_every") if getattr(given, k)]
    if refused:
        raise InvalidArgument(f"the setting '{refused[0]}' has no place here: results go to rows alone", "INVAL")
    return {k: os.path.abspath(v) if k in FILES and os.path.isfile(v) else v for k, v in given.again().items()}


class Reader:
    """Files through one set of models, one after the other."""

    def __init__(self, settings: Mapping[str, Any], threads: float) -> None:
        self._settings = {"threads": max(1, int(threads)), **settings}
        self._manager: VideoStreamManager | None = None

    def start(self) -> VideoStreamManager:
        """Loads the models, unless it has."""
        if self._manager is None:
            self._manager = VideoStreamManager([], config=self._settings, stays=True)
            self._manager.start()
        return self._manager

    def lines(self, path: str) -> Iterator[Line]:
        """What `framemill run` would write, by frame. Where the file fails, its error follows what could be read."""
        if not path.isascii() and path.encode("utf-8", "replace").decode() != path:
            raise InvalidArgument(f"the name {path!r} is no UTF-8: rename the file", "INVAL")
        manager, over, ended = self.start(), False, False
        manager.add_stream(path, name=STREAM)
        try:
            while True:
                try:
                    result = manager.next(timeout_ms=0 if ended else POLL_MS)
                except TimeoutError:
                    if ended:
                        break
                    ended = bool(manager.streams[STREAM]["ended"])
                else:
                    assert result is not None  # it stays
                    yield result.to_dict()
            over = True
        finally:
            if not over:
                # What it still has of this file would come before the next one's.
                self._manager = None
                manager.close()
        error = manager.streams[STREAM]["error"]
        if error:
            raise FramemillError(error, "IO")


def _extra(line: Line, known: set[str]) -> str | None:
    more = {k: v for k, v in line.items() if k not in known}
    return json.dumps(more) if more else None


def _where(line: Line) -> Line:
    return {k: line.get(k) for k, _ in _WHERE}


def frame_row(line: Line) -> Line:
    return {**_where(line), "file": line.get("file"), "objects": len(line.get("objects", ())), "error": line.get("error"),
            "extra": _extra(line, _FRAME_KEYS)}


def object_rows(line: Line) -> Iterator[Line]:
    where = _where(line)
    for o in line.get("objects", ()):
        x, y, w, h = o["box"]
        yield {**where, "label": o["label"], "class_id": o["class_id"], "score": o["score"], "x": x, "y": y, "w": w, "h": h,
               "track_id": o.get("track_id"), "extra": _extra(o, _OBJECT_KEYS)}


def joined_rows(line: Line) -> Iterator[Line]:
    """A row for each object, and one without for a frame that has none."""
    frame = frame_row(line)
    frame["frame_extra"] = frame.pop("extra")
    for row in object_rows(line) if line.get("objects") else [{}]:
        yield {**frame, **row}


class _Part:
    """One Parquet file, written as rows come."""

    def __init__(self, path: str, kind: str) -> None:
        self._kind, self._rows = kind, list[Line]()
        self._file = open(path, "xb")
        self._writer = need_pyarrow("pyarrow.parquet").ParquetWriter(self._file, schema(kind), compression="zstd")

    def add(self, rows: Iterable[Line]) -> None:
        self._rows.extend(rows)
        if len(self._rows) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(table(self._kind, self._rows))
        self._rows.clear()

    def close(self, keep: bool) -> None:
        """Whole and on the disk, where it is to be kept."""
        if keep:
            self._flush()
        self._writer.close()
        if keep:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()


class Parts:
    """A video's two files under names that nobody else writes to. Leaving without commit deletes them."""

    def __init__(self, folder: str, name: str) -> None:
        token = uuid.uuid4().hex
        self.files = {kind: os.path.join(folder, f"{name}-{token}-{kind}.parquet") for kind in ("objects", "frames")}
        self._parts: dict[str, _Part] = {}
        self.kept = False

    def add(self, line: Line) -> None:
        self._parts["objects"].add(object_rows(line))
        self._parts["frames"].add([frame_row(line)])

    def commit(self) -> None:
        self.kept = True

    def __enter__(self) -> Parts:
        self._parts = {kind: _Part(path, kind) for kind, path in self.files.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts.values():
            part.close(self.kept)
        if not self.kept:
            for path in self.files.values():
                pathlib.Path(path).unlink(missing_ok=True)
