# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What comes back from a machine of the cluster: a frame's result as a few hundred bytes."""
from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ..results import DETECTION

_NUMBER = re.compile(rb'"frame":(\d+)')


@dataclasses.dataclass(frozen=True)
class Record:
    """One frame's result, as framemill.Result shows it, but for pictures, masks and features as arrays (the line has what the settings
    ask for)."""

    stream: str
    frame: int
    pts_ms: float | None
    line: bytes
    packed: bytes
    state: bytes | None
    error: str | None

    def __len__(self) -> int:
        return len(self.packed) // DETECTION.itemsize

    def __repr__(self) -> str:
        return f"<Record of {self.stream} frame {self.frame}: {len(self)} objects>"

    @property
    def detections(self) -> npt.NDArray[np.void]:
        """[n] of DETECTION, by descending score."""
        return np.frombuffer(self.packed, DETECTION)

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """[n, 4] left, top, right, bottom in pixels of the frame."""
        return self.detections["box"]

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        return self.detections["score"]

    @property
    def class_ids(self) -> npt.NDArray[np.int32]:
        return self.detections["class_id"]

    @property
    def track_ids(self) -> npt.NDArray[np.int64]:
        """[n], 0 where the object has no confirmed track."""
        return self.detections["track_id"]

    @property
    def labels(self) -> list[str]:
        """[n] of each object."""
        return [str(o["label"]) for o in self.to_dicts()]

    def to_json(self) -> str:
        """The line that `framemill run` writes of this frame."""
        return self.line.decode()

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = json.loads(self.line)
        return out

    def to_dicts(self) -> list[dict[str, Any]]:
        """The objects alone: label, class_id, score, box [x, y, width, height], track_id where there is one, ..."""
        objects: list[dict[str, Any]] = self.to_dict().get("objects", [])
        return objects

    def numbered(self, frame: int) -> Record:
        """The same with another number."""
        return dataclasses.replace(self, frame=frame, line=_NUMBER.sub(b'"frame":%d' % frame, self.line, count=1))
