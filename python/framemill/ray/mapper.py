# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Videos as a step of a Ray Data pipeline."""
from __future__ import annotations

from typing import Any, Iterator, Mapping

from ..config import Config
from ..errors import FramemillError, InvalidArgument
from ._cluster import need_ray
from .inputs import names
from .rows import ROWS, Line, Reader, joined_rows, need_pyarrow, table, worker_settings


def _cores() -> float:
    """That Ray gave this worker; 1 outside of one."""
    try:
        return float(need_ray().get_runtime_context().get_assigned_resources().get("CPU", 1))
    except AssertionError:  # Ray's way to say that this is no worker
        return 1


class VideoMapper:
    """From rows with a `path` to rows of what is in the videos, for `Dataset.map_batches`. Models are loaded once a worker.

        ray.data.from_items([{"path": p} for p in paths]).map_batches(
            VideoMapper, fn_constructor_kwargs={"config": {"detector": "yolox-nano"}}, batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=2))

    A row for each object, and one without an object for a frame that has none. Rows come in blocks while a video is read, so memory
    stays bounded however long it is (`flat_map` would make a dictionary of each row). A file that fails gives a last row with its
    `error`, and no `frame`.
    """

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        need_pyarrow()
        self._reader = Reader(worker_settings(config, settings), _cores())
        self._reader.start()

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[Any]:
        if "path" not in batch:
            raise InvalidArgument(f"VideoMapper takes rows with a column 'path', and these have {', '.join(map(repr, batch))}", "INVAL")
        for path in map(str, batch["path"]):
            yield from self._tables(path, names([path], {})[path])

    def _tables(self, path: str, stream: str) -> Iterator[Any]:
        rows: list[Line] = []
        where = {"path": path, "stream": stream}
        try:
            for line in self._reader.lines(path):
                rows.extend({**row, **where} for row in joined_rows(line))
                if len(rows) >= ROWS:
                    yield table("joined", rows)
                    rows = []
        except FramemillError as e:
            rows.append({**where, "error": str(e)})
        yield table("joined", rows)
