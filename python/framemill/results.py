# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""What framemill says of a frame: arrays over the library's own memory, or dictionaries."""
from __future__ import annotations

import json
from typing import Any, Sequence

import numpy as np
import numpy.typing as npt

from ._lib import NULL, PTS_NONE, Owned, call, ffi, lib, take_text, text
from .errors import MissingPackage
from .frames import Frame, array_over

#: One object, as it lies in memory. box: left, top, right, bottom in pixels of the frame; track_id 0: no confirmed track.
DETECTION = np.dtype([("box", "<f4", (4,)), ("score", "<f4"), ("class_id", "<i4"), ("track_id", "<i8")])
#: A class and its score; class_id -1: none.
CLASS_SCORE = np.dtype([("class_id", "<i4"), ("score", "<f4")])

assert DETECTION.itemsize == ffi.sizeof("fm_det") and CLASS_SCORE.itemsize == ffi.sizeof("fm_class_score")


def label_table(pointer: Any, count: int) -> tuple[str, ...]:
    return tuple(text(pointer[i]) or "" for i in range(count))


class _ResultMemory(Owned):
    """A result and what it came from, whose labels it borrows."""

    def __init__(self, pointer: Any, source: object) -> None:
        super().__init__(pointer, lib.fm_result_free)
        self.source = source


class Objects:
    """What follows from `detections` and `to_json`, wherever those come from."""

    @property
    def detections(self) -> npt.NDArray[np.void]:
        """[n] of DETECTION, by descending score."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The line that `framemill run` writes of this frame."""
        raise NotImplementedError

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

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary."""
        out: dict[str, Any] = json.loads(self.to_json())
        return out

    def to_dicts(self) -> list[dict[str, Any]]:
        """The objects alone: label, class_id, score, box [x, y, width, height], track_id where there is one, ..."""
        objects: list[dict[str, Any]] = self.to_dict().get("objects", [])
        return objects


class Result(Objects):
    """One frame's result. Its arrays are views of the library's memory and keep it alive."""

    def __init__(self, pointer: Any, source: object) -> None:
        self._owned = _ResultMemory(pointer, source)
        self._raw = pointer

    @property
    def stream(self) -> str:
        return text(self._raw.stream) or ""

    @property
    def frame(self) -> int:
        """Number of the frame in its stream, from 0."""
        return int(self._raw.frame)

    @property
    def file(self) -> str | None:
        """Name of the picture, without folders; None for video."""
        return text(self._raw.file)

    @property
    def pts_ms(self) -> float | None:
        """Time from the start of the stream."""
        return None if self._raw.pts_ns == PTS_NONE else self._raw.pts_ns / 1e6

    @property
    def width(self) -> int:
        return int(self._raw.width)

    @property
    def height(self) -> int:
        return int(self._raw.height)

    @property
    def error(self) -> str | None:
        """Why this frame has no objects, where its inference failed."""
        return text(self._raw.error)

    def __len__(self) -> int:
        return int(self._raw.det_count)

    def __repr__(self) -> str:
        return f"<Result of {self.stream} frame {self.frame}: {len(self)} objects>"

    def _array(self, pointer: Any, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return array_over(self._owned, pointer, shape, dtype)

    @property
    def detections(self) -> npt.NDArray[np.void]:
        """[n] of DETECTION, by descending score."""
        return self._array(self._raw.dets, (len(self),), DETECTION)

    @property
    def track_boxes(self) -> npt.NDArray[np.float32] | None:
        """[n, 4] the tracker's filtered boxes; None without a tracker."""
        return None if self._raw.track_boxes == NULL else self._array(self._raw.track_boxes, (len(self), 4), np.float32)

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels, by class id."""
        return label_table(self._raw.labels, self._raw.label_count)

    @property
    def labels(self) -> list[str]:
        """[n] of each object."""
        names = self._raw.labels
        return [text(names[i]) or "" if 0 <= i < self._raw.label_count else str(i) for i in self.class_ids.tolist()]

    @property
    def features(self) -> npt.NDArray[np.float32] | None:
        """[n, dim] of unit length, a row of NaN where an object has none; None unless asked for. A copy: they lie apart."""
        if self._raw.features == NULL:
            return None
        dim, out = int(self._raw.feature_dim), np.full((len(self), int(self._raw.feature_dim)), np.nan, np.float32)
        for i in range(len(self)):
            if self._raw.features[i] != NULL:
                out[i] = self._array(self._raw.features[i], (dim,), np.float32)
        return out

    @property
    def frame_feature(self) -> npt.NDArray[np.float32] | None:
        """[dim] of the whole frame."""
        pointer = self._raw.frame_feature
        return None if pointer == NULL else self._array(pointer, (int(self._raw.frame_feature_dim),), np.float32)

    @property
    def classes(self) -> npt.NDArray[np.void] | None:
        """[k] of CLASS_SCORE, of the whole frame, by descending score."""
        pointer = self._raw.classes
        return None if pointer == NULL else self._array(pointer, (int(self._raw.class_count),), CLASS_SCORE)

    @property
    def object_classes(self) -> npt.NDArray[np.void] | None:
        """[n, k] of CLASS_SCORE, of each object."""
        pointer = self._raw.object_classes
        return None if pointer == NULL else self._array(pointer, (len(self), int(self._raw.object_class_count)), CLASS_SCORE)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classifier's labels, by class id."""
        return label_table(self._raw.class_labels, self._raw.class_label_count)

    @property
    def masks(self) -> npt.NDArray[np.bool_] | None:
        """[n, height, width], unpacked; None without a segmenter of objects."""
        if self._raw.masks == NULL:
            return None
        out = np.zeros((len(self), self.height, self.width), np.bool_)
        for i in range(len(self)):
            m = self._raw.masks[i]
            if m.width and m.height:
                packed = self._array(m.bits, (m.height, m.stride), np.uint8)
                out[i, m.y:m.y + m.height, m.x:m.x + m.width] = np.unpackbits(packed, axis=1, count=m.width, bitorder="little")
        return out

    @property
    def class_map(self) -> npt.NDArray[np.uint8] | None:
        """[height, width] the class of each pixel, 255 where the network did not look; None unless `maps` was asked for."""
        m = self._raw.class_map
        if m == NULL or m.ids == NULL:
            return None
        return array_over(self._owned, m.ids, (int(m.height), int(m.width)), np.uint8, (int(m.stride), 1))

    @property
    def picture(self) -> Frame | None:
        """The frame's pixels, where they were asked for (`pictures=True`)."""
        if self._raw.picture == NULL:
            return None
        frame = lib.fm_frame_ref(ffi.cast("fm_frame *", self._raw.picture))
        return Frame(Owned(frame, lib.fm_frame_unref))

    @property
    def state(self) -> bytes | None:
        """With `checkpoint_every`, of each n-th result: what a stream that goes on behind this frame begins with. A copy."""
        return None if self._raw.state == NULL else bytes(ffi.buffer(self._raw.state, self._raw.state_bytes))

    def to_json(self) -> str:
        """The line that `framemill run` writes of this frame."""
        out = ffi.new("char **")
        call(lib.fm_result_json, self._owned.get(), out)
        return take_text(out[0]).rstrip("\n")

    def to_supervision(self) -> Any:
        """The objects as a `supervision.Detections`."""
        try:
            import supervision
        except ImportError as e:
            raise MissingPackage("to_supervision needs the package supervision: pip install supervision", "UNSUPPORTED") from e
        has_ids = self._raw.track_boxes != NULL
        return supervision.Detections(xyxy=np.array(self.boxes), confidence=np.array(self.scores), class_id=self.class_ids.astype(int),
                                      mask=self.masks, tracker_id=self.track_ids.astype(int) if has_ids else None,
                                      data={"class_name": np.array(self.labels)})


def first_error(results: Sequence[Result]) -> str | None:
    return next((r.error for r in results if r.error), None)
