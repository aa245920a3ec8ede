# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Videos, cameras and folders through models and trackers, results pulled by Python."""
from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import json
import threading
from types import TracebackType
from typing import Any, AsyncIterator, Iterator, Mapping, Sequence

from ._lib import OK, Owned, call, check, ffi, lib, take_text, text
from .config import Config, Keep, Settings
from .errors import Closed, InvalidArgument
from .results import Result

SLICE_MS = 100  # how long a call waits before Python looks at signals
TEXTS = {"url", "name", "denoise", "color", "lut"}  # of a stream
AHEAD = 16      # results that one call of a worker thread takes at most
COUNTS = ("frames", "expected", "dropped", "objects", "tracks", "queued", "ended")


def _fill(stream: Any, given: Mapping[str, Any], keep: Keep) -> None:
    """An fm_stream_opts."""
    for key in given.keys() & TEXTS:
        setattr(stream if key in ("url", "name") else stream.enhance, key, keep.string(given[key]))
    stream.start_frame = int(given.get("start_frame", 0))
    if "state" in given:
        stream.state, stream.state_bytes = keep.keep(ffi.from_buffer(given["state"])), len(given["state"])


def _reports(run: Owned) -> dict[str, dict[str, Any]]:
    r, out = ffi.new("fm_stream_report *"), {}
    for i in range(lib.fm_run_stream_count(run.get())):
        check(lib.fm_run_stream_report(run.get(), i, r), ffi.new("fm_error *"))
        out[text(r.name) or ""] = {"url": text(r.url) or "", "error": text(r.error), **{k: getattr(r, k) for k in COUNTS}}
    return out


class VideoStreamManager:
    """Streams of frames through one set of models.

    `streams` names the inputs (files, folders, rtsp://, http://, v4l2://, testsrc:), or says how many will be given with add_stream.
    Iterating starts them, and gives a Result for each frame, in order within a stream. Who takes results slowly slows files down;
    live streams drop their oldest frames. With `stays=True` it goes on when all have ended, until stop: others may be added.

    >>> with VideoStreamManager(["testsrc:64x48@25,frames=3"], detector="motion") as manager:
    ...     [r.frame for r in manager]
    [0, 1, 2]
    """

    def __init__(self, streams: int | Sequence[str | Mapping[str, Any]], buffer_size: int = 30, config: Config | None = None,
                 **settings: Any) -> None:
        self._most = streams if isinstance(streams, int) else None
        self._inputs: list[Mapping[str, Any]] = []
        self._settings = Settings(config, {"buffer_size": buffer_size, **settings})
        self._run: Owned | None = None
        self._closed = False
        self._lock = threading.Lock()
        if isinstance(streams, (str, bytes)):
            raise InvalidArgument("streams is one text; give a list of inputs", "INVAL")
        if isinstance(streams, int):
            if streams < 1:
                raise InvalidArgument(f"num_streams is {streams}; 1 and more are allowed", "INVAL")
        else:
            for s in streams:
                self.add_stream(s)

    def add_stream(self, source: str | Mapping[str, Any], name: str | None = None) -> None:
        """One more input, also while the others run."""
        given = {"url": source} if isinstance(source, str) else dict(source)
        if "url" not in given:
            raise InvalidArgument(f"a stream needs a url, and {given!r} has none", "INVAL")
        unknown = given.keys() - TEXTS - {"start_frame", "state"}
        if unknown:
            raise InvalidArgument(f"a stream has no setting '{sorted(unknown)[0]}'; url, name, start_frame, state, denoise, color and lut are allowed", "INVAL")
        given = {k: v for k, v in given.items() if v is not None}
        if not 0 <= int(given.get("start_frame", 0)) < 1 << 63:
            raise InvalidArgument(f"start_frame is {given['start_frame']}; the number of a frame, from 0, was expected", "INVAL")
        if name:
            given["name"] = name
        with self._lock:
            if self._run is not None:
                self._add_now(given)
                return
            if self._most is not None and len(self._inputs) >= self._most:
                raise InvalidArgument(f"there are {self._most} streams already, as many as were announced", "INVAL")
            self._inputs.append(given)

    def _add_now(self, given: Mapping[str, Any]) -> None:
        """To a run that goes on. It copies what it is given."""
        keep, opts = Keep(), ffi.new("fm_stream_opts *")
        _fill(opts[0], given, keep)
        call(lib.fm_run_stream_add, self._get().get(), opts)

    def remove_stream(self, name: str) -> None:
        """Ends a stream; what was read of it still gives results. NotFound: there is none of this name."""
        with self._lock:
            call(lib.fm_run_stream_remove, self._get().get(), name.encode())

    def pause_stream(self, name: str, paused: bool = True) -> None:
        """Pauses a stream, or lets it go on: a file is read no further, a live source's frames are passed over."""
        with self._lock:
            call(lib.fm_run_stream_pause, self._get().get(), name.encode(), paused)

    def _make(self) -> Owned:
        s, opts = self._settings, self._settings.opts()
        opts.streams = s.keep(ffi.new("fm_stream_opts[]", len(self._inputs)))
        opts.stream_count = len(self._inputs)
        for i, given in enumerate(self._inputs):
            _fill(opts.streams[i], given, s)
        opts.stays = s.stays
        opts.queue = 2 * AHEAD
        out = ffi.new("fm_run **")
        call(lib.fm_run_new, opts, out)
        return Owned(out[0], lib.fm_run_free)

    def start(self) -> None:
        """Opens the streams; done by the first iteration. Idempotent."""
        with self._lock:
            if self._closed:
                raise Closed("this VideoStreamManager was closed", "INVAL")
            if self._run is None:
                run = self._make()
                call(lib.fm_run_start, run.get())
                self._run = run

    @property
    def inputs(self) -> list[Mapping[str, Any]]:
        """What was given, in order."""
        return list(self._inputs)

    def names(self) -> dict[str, str]:
        """What the inputs are called, and their addresses without passwords, in order. Nothing is opened for it."""
        run = self._make() if self._run is None else self._get()
        return {name: s["url"] for name, s in _reports(run).items()}

    def _get(self) -> Owned:
        run = self._run
        if run is None or self._closed:
            raise Closed("this VideoStreamManager was closed" if self._closed else "no stream runs yet: call start()", "INVAL")
        run.get()
        return run

    def next(self, timeout_ms: int = -1) -> Result | None:
        """The next result of any stream, None when all have ended. TimeoutError when none came in time (negative: no limit)."""
        self.start()
        waited = 0
        while True:
            rest = SLICE_MS if timeout_ms < 0 else max(0, min(SLICE_MS, timeout_ms - waited))
            status, result = self._take(rest)
            if status != lib.FM_AGAIN:
                return result
            waited += rest
            if 0 <= timeout_ms <= waited:
                raise TimeoutError(f"no result came in {timeout_ms} ms")

    def _take(self, timeout_ms: int) -> tuple[int, Result | None]:
        run, out, err = self._get(), ffi.new("fm_result **"), ffi.new("fm_error *")
        status = lib.fm_run_next(run.get(), timeout_ms, out, err)
        if status == OK:
            return status, Result(out[0], run)
        if status not in (lib.FM_AGAIN, lib.FM_EOF):
            check(status, err)
        return status, None

    def __iter__(self) -> Iterator[Result]:
        while True:
            result = self.next()
            if result is None:
                return
            yield result

    def _take_some(self, into: collections.deque[Result]) -> bool:
        """Waits a little for a result, then takes what is there. False: there will be none."""
        status, result = self._take(SLICE_MS)
        while result is not None and len(into) < AHEAD:
            into.append(result)
            if len(into) < AHEAD:
                status, result = self._take(0)
        return bool(status != lib.FM_EOF) or bool(into)

    async def process_streams(self) -> AsyncIterator[Result]:
        """The same for asyncio: results as they come; the event loop is never held up. Leaving the loop early stops the streams."""
        self.start()
        loop, ready = asyncio.get_running_loop(), collections.deque[Result]()
        with concurrent.futures.ThreadPoolExecutor(1, "framemill-next") as pool:
            try:
                while await loop.run_in_executor(pool, self._take_some, ready):
                    while ready:
                        yield ready.popleft()
            except BaseException:
                if not self._closed:
                    self.stop(drain=False)
                raise

    def stop(self, drain: bool = True) -> None:
        """Ends the streams early. With drain what was read is still processed, and its results are to be taken."""
        lib.fm_run_stop(self._get().get(), drain)

    @property
    def progress(self) -> dict[str, float]:
        """frames, expected (0: unknown), dropped, objects, streams, active, failed, seconds, fps."""
        p = ffi.new("fm_run_progress *")
        lib.fm_run_progress_get(self._get().get(), p)
        return {k: getattr(p, k) for k in ("frames", "expected", "dropped", "objects", "streams", "active", "failed", "seconds", "fps")}

    @property
    def streams(self) -> dict[str, dict[str, Any]]:
        """Of each stream, by name: url, frames, expected (0: unknown), dropped, objects, tracks, queued (frames that wait for a model
        now), ended, error. A stream that has ended gives its place to another where room is short."""
        with self._lock:
            return _reports(self._get())

    @property
    def errors(self) -> dict[str, str]:
        """Streams that failed, by name, and why. The others go on."""
        return {name: s["error"] for name, s in self.streams.items() if s["error"]}

    def report(self) -> dict[str, Any]:
        """The report of a run that has ended, as `framemill run --report` writes it."""
        out = ffi.new("char **")
        call(lib.fm_run_report_json, self._get().get(), out)
        report: dict[str, Any] = json.loads(take_text(out[0]))
        return report

    def close(self) -> None:
        """Stops at once and frees, once results that are still held are gone. Idempotent."""
        with self._lock:
            run, self._run, self._closed = self._run, None, True
        if run is not None:
            lib.fm_run_stop(run.get(), False)

    def __enter__(self) -> VideoStreamManager:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None) -> None:
        self.close()
