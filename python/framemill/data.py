# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The store: frames, what was seen in them, and finding it again."""
from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from typing import Any, Mapping, Sequence

import numpy as np

from . import models
from ._lib import NULL, PTS_NONE, Owned, call, ffi, lib, take_text
from .errors import Closed, InvalidArgument
from .frames import Color, check_color, frame_over
from .results import Result


def _free_store(store: Any) -> None:
    err = ffi.new("fm_error *")
    lib.fm_store_close(store, err)


class DataManager:
    """A store (docs/store.md): a folder with pictures, objects, tracks and features. One process writes, any number read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, DataManager(folder) as data:
    ...     data.counts()["frames"]
    0
    """

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False, jpeg_quality: int = 85, max_bytes: int = 0,
                 max_age_s: int = 0, color: Color = "bgr") -> None:
        self.path = os.fspath(path)
        self._color = check_color(color)
        self._read_only = read_only
        self._lock = threading.Lock()
        # protected by lock
        self._runs: dict[str, int] = {}
        self._next: dict[str, int] = {}
        opts = ffi.new("fm_store_opts *")
        opts.struct_size = ffi.sizeof("fm_store_opts")
        folder = ffi.new("char[]", self.path.encode())
        opts.dir, opts.read_only, opts.jpeg_quality = folder, read_only, jpeg_quality
        opts.max_bytes, opts.max_age_s = max_bytes, max_age_s
        out = ffi.new("fm_store **")
        call(lib.fm_store_open, opts, out)
        self._owned: Owned | None = Owned(out[0], _free_store)

    def _get(self) -> Any:
        owned = self._owned
        if owned is None:
            raise Closed("this DataManager was closed", "INVAL")
        return owned.get()

    # ---- writing ----

    def _run_of(self, store: Any, stream: str) -> int:
        if stream not in self._runs:
            run = ffi.new("int64_t *")
            call(lib.fm_store_begin_run, store, stream.encode(), NULL, run)
            self._runs[stream], self._next[stream] = int(run[0]), 0
        return self._runs[stream]

    @staticmethod
    def _objects(result: Result, keep: list[Any]) -> Any:
        features, labels, dets = result.features, result.labels, result.detections
        out = ffi.new("fm_store_object[]", len(result))
        for i, d in enumerate(dets):
            o, box = out[i], d["box"]
            o.box.x0, o.box.y0, o.box.x1, o.box.y1 = (float(v) for v in box)
            o.score, o.class_id, o.track = float(d["score"]), int(d["class_id"]), int(d["track_id"])
            keep.append(ffi.new("char[]", labels[i].encode()))
            o.label = keep[-1]
            if features is not None and not np.isnan(features[i, 0]):
                o.feature = ffi.cast("float *", features[i].ctypes.data)
        keep.append(features)
        return out

    def store(self, frame_id: int | str, frame: Any, metadata: Mapping[str, Any] | None = None, stream: str = "frames",
              result: Result | None = None, feature_model: str | None = None) -> None:
        """Puts a picture (None: none), its metadata and what was seen in it; returns when that survives the process being killed."""
        store = self._get()
        keep: list[Any] = []
        record = ffi.new("fm_store_record *")
        record.struct_size, record.pts_ns = ffi.sizeof("fm_store_record"), PTS_NONE
        record.wall_ns = time.time_ns()
        meta = ffi.new("char[]", json.dumps({"id": frame_id, **(metadata or {})}).encode())
        record.meta = meta
        picture = frame_over(frame, self._color) if frame is not None else None
        if picture is not None:
            view = lib.fm_frame_get_view(picture.get())
            record.picture, record.width, record.height = picture.get(), view.width, view.height
        if result is not None:
            objects = self._objects(result, keep)
            record.objects, record.object_count, record.feature_dim = objects, len(result), result._raw.feature_dim
            if result.features is not None:
                keep.append(ffi.new("char[]", (feature_model or "features").encode()))
                record.feature_model = keep[-1]
            record.width, record.height = result.width, result.height
        if picture is None and result is None:
            raise InvalidArgument("there is nothing to store: give a frame or a result", "INVAL")
        with self._lock:
            record.run, record.frame = self._run_of(store, stream), self._next[stream]
            call(lib.fm_store_put_wait, store, record, NULL)
            self._next[stream] += 1

    async def store_frame_data(self, frame_id: int | str, frame: Any, metadata: Mapping[str, Any] | None = None,
                               stream: str = "frames", result: Result | None = None, feature_model: str | None = None) -> None:
        """store(), while the event loop goes on. The picture must not change until it is done."""
        await asyncio.to_thread(self.store, frame_id, frame, metadata, stream, result, feature_model)

    # ---- reading ----

    def counts(self) -> dict[str, int]:
        """streams, frames, objects, tracks, features, pictures, lost: what is there, and records that could not be written."""
        c = ffi.new("fm_store_counts *")
        call(lib.fm_store_count, self._get(), c)
        return {k: int(getattr(c, k)) for k in ("streams", "frames", "objects", "tracks", "features", "pictures", "lost")}

    def picture(self, frame_row: int) -> bytes:
        """The JPEG of a frame that was found (its `frame_id` in a hit)."""
        jpeg, size = ffi.new("void **"), ffi.new("size_t *")
        call(lib.fm_store_frame_picture, self._get(), frame_row, jpeg, size)
        out = bytes(ffi.buffer(jpeg[0], size[0]))
        lib.fm_free(jpeg[0])
        return out

    def search(self, label: str | None = None, *, image: str | os.PathLike[str] | None = None, vector: Sequence[float] | None = None,
               track: tuple[str, int] | None = None, streams: Sequence[str] = (), where: Mapping[str, Any] | None = None,
               min_score: float = 0, time_range: tuple[float, float] | None = None, top: int = 10) -> list[dict[str, Any]]:
        """What was seen (docs/search.md): the nearest to a picture, a feature or a track, or the newest with a label; filters hold
        together. `where` is of metadata, `time_range` in seconds since 1970. Hits as `framemill search --json` has them."""
        opts, keep = ffi.new("fm_search_opts *"), _Keep()
        opts.struct_size, opts.top = ffi.sizeof("fm_search_opts"), top
        f = opts.filter
        f.min_score = min_score
        if label is not None:
            f.label = keep.string(label)
        if image is not None:
            opts.image, opts.models = keep.string(os.fspath(image)), keep(models.store_opts(keep))
        if vector is not None:
            values = np.ascontiguousarray(vector, np.float32)
            opts.vector, opts.dim = ffi.cast("float *", keep(values).ctypes.data), values.size
        if track is not None:
            opts.stream, opts.track = keep.string(track[0]), track[1]
        if time_range is not None:
            f.from_ns, f.to_ns = (int(t * 1e9) for t in time_range)
        f.streams, f.stream_count = keep.strings(streams), len(streams)
        words = [f"{k}={json.dumps(v) if isinstance(v, bool) else v}" for k, v in (where or {}).items()]
        f.where, f.where_count = keep.strings(words), len(words)
        out = ffi.new("fm_search **")
        call(lib.fm_search_new, self.path.encode(), opts, out)
        found, answer = Owned(out[0], lib.fm_search_free), ffi.new("char **")
        call(lib.fm_search_json, found.get(), answer)
        hits: Any = json.loads(take_text(answer[0]))
        return list(hits["hits"] if isinstance(hits, dict) else hits)

    def close(self) -> None:
        """Writes what is queued. Idempotent."""
        with self._lock:
            owned, self._owned = self._owned, None
        if owned is not None and not self._read_only:
            call(lib.fm_store_flush, owned.get())

    def __enter__(self) -> DataManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Keep:
    """What a C struct borrows."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def __call__(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def string(self, value: str) -> Any:
        return self(ffi.new("char[]", value.encode()))

    def strings(self, values: Sequence[str]) -> Any:
        return self(ffi.new("char *[]", [self.string(v) for v in values])) if values else NULL
