# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What comes back from a machine of the cluster: a frame's result as a few hundred bytes."""
from __future__ import annotations

import dataclasses
import re

import numpy as np
import numpy.typing as npt

from ..results import DETECTION, Objects

_NUMBER = re.compile(rb'"frame":(\d+)')


@dataclasses.dataclass(frozen=True)
class Record(Objects):
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
    def labels(self) -> list[str]:
        """[n] of each object."""
        return [str(o["label"]) for o in self.to_dicts()]

    def to_json(self) -> str:
        """The line that `framemill run` writes of this frame."""
        return self.line.decode()

    def numbered(self, frame: int) -> Record:
        """The same with another number."""
        return dataclasses.replace(self, frame=frame, line=_NUMBER.sub(b'"frame":%d' % frame, self.line, count=1))
