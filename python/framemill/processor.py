# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures that a program holds, through models and trackers: ImageProcessor and AnalysisSystem."""
from __future__ import annotations

from types import TracebackType
from typing import Any, Sequence

from ._lib import Owned, call, ffi, lib
from .config import Config, Settings
from .errors import BackendError, Closed, InvalidArgument
from .frames import views_of
from .results import Result, first_error, label_table


class _Processor:
    """Frames in, results out. Any number of Python threads may call; what they hand in forms batches together."""

    def __init__(self, settings: Settings, streams: Sequence[str] = ()) -> None:
        self.color = settings.color
        opts = settings.opts()
        if streams:
            opts.streams = settings.keep(ffi.new("fm_stream_opts[]", len(streams)))
            opts.stream_count = len(streams)
            for i, name in enumerate(streams):
                opts.streams[i].name = settings.string(name)
        out = ffi.new("fm_processor **")
        call(lib.fm_processor_new, opts, out)
        self._owned: Owned | None = Owned(out[0], lib.fm_processor_free)
        count = ffi.new("size_t *")
        self.labels = label_table(lib.fm_processor_labels(out[0], count), int(count[0]))

    def get(self) -> Owned:
        owned = self._owned
        if owned is None:
            raise Closed(f"this {type(self).__name__} was closed", "INVAL")
        owned.get()
        return owned

    def run(self, images: Sequence[Any], stream: int = 0) -> list[Result]:
        """A Result for each picture, in order. Pictures are not copied."""
        owned = self.get()
        if isinstance(images, (str, bytes)) or not hasattr(images, "__len__"):
            raise InvalidArgument(f"expected a list of pictures, not {type(images).__name__}", "INVAL")
        if len(images) == 0:
            return []
        views = views_of(images, self.color)
        results = ffi.new("fm_result *[]", len(images))
        call(lib.fm_processor_run, owned.get(), stream, views, len(images), results)
        return [Result(results[i], owned) for i in range(len(images))]

    def close(self) -> None:
        """Stops what is under way (Canceled) and frees the models, once results that are still held are gone. Idempotent."""
        owned, self._owned = self._owned, None
        if owned is not None:
            lib.fm_processor_stop(owned.get())

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None) -> None:
        self.close()


class ImageProcessor(_Processor):
    """Detects, segments and classifies pictures.

    >>> processor = ImageProcessor({"detector": "motion"})
    >>> processor.process_batch([])
    []
    """

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        super().__init__(Settings(config, settings))

    def __enter__(self) -> ImageProcessor:
        return self

    def process_batch(self, images: Sequence[Any]) -> list[dict[str, Any]]:
        """What `framemill run` says of each picture, as dictionaries: `objects` (label, class_id, score, box [x, y, width, height],
        mask, classes), `classes`, ... An inference that failed raises BackendError."""
        results = self.run(images)
        error = first_error(results)
        if error:
            raise BackendError(error, "BACKEND")
        return [r.to_dict() for r in results]

    def process(self, image: Any) -> dict[str, Any]:
        return self.process_batch([image])[0]


class AnalysisSystem(_Processor):
    """Detects and follows objects over the frames of one stream or several."""

    def __init__(self, config: Config | None = None, streams: Sequence[str] = ("frames",), **settings: Any) -> None:
        chosen = Settings(config, settings)
        chosen.setdefault("tracker", "deepsort")
        self._names = list(streams)
        super().__init__(chosen, self._names)

    def __enter__(self) -> AnalysisSystem:
        return self

    def _index(self, stream: str | int) -> int:
        if isinstance(stream, int):
            return stream
        if stream not in self._names:
            raise InvalidArgument(f"there is no stream '{stream}'; there are: {', '.join(self._names)}", "INVAL")
        return self._names.index(stream)

    def analyze(self, frame: Any, stream: str | int = 0) -> Result:
        """The next frame of a stream."""
        return self.run([frame], self._index(stream))[0]

    def analyze_frame(self, frame: Any, stream: str | int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(detections, tracks) of the next frame of a stream: all objects that are reported, and those of them whose track is
        confirmed, the tracker's box in place of the detector's."""
        result = self.analyze(frame, stream)
        if result.error:
            raise BackendError(result.error, "BACKEND")
        detections = result.to_dicts()
        filtered = result.track_boxes
        tracks = []
        for i, d in enumerate(detections):
            if "track_id" in d and filtered is not None:
                x0, y0, x1, y1 = (float(v) for v in filtered[i])
                tracks.append({**d, "box": [round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)]})
        return detections, tracks

    def save_state(self, stream: str | int = 0) -> bytes:
        """What a stream remembers: its frames' count, its tracks and the next id. Waits until its frames are done."""
        data, size = ffi.new("void **"), ffi.new("size_t *")
        call(lib.fm_processor_state_save, self.get().get(), self._index(stream), data, size)
        out = bytes(ffi.buffer(data[0], size[0]))
        lib.fm_free(data[0])
        return out

    def load_state(self, state: bytes, stream: str | int = 0) -> None:
        """Takes a stream up where another AnalysisSystem with the same settings left it."""
        call(lib.fm_processor_state_load, self.get().get(), self._index(stream), ffi.from_buffer(state), len(state))
