# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures that a program holds, through actors of a cluster."""
from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any, Mapping, Sequence

from ..config import Config, Settings
from ..errors import BackendError, Closed, FramemillError, InvalidArgument
from ..frames import views_of
from ..processor import ImageProcessor as Local
from ._cluster import connect, leave, need_ray
from .pool import why

#: Pictures and models are all that an answer depends on: Ray starts a lost actor again, anywhere, and asks it again.
FAULTS = {"max_restarts": 3, "max_task_retries": 3}


class _Actor:
    """In the cluster. What fails for a reason that asking again does not mend is an answer."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._processor: Local | None = None

    def pid(self) -> int:
        return os.getpid()

    def process(self, images: Sequence[Any]) -> list[dict[str, Any]] | FramemillError:
        try:
            if self._processor is None:
                self._processor = Local(dict(self._settings))
            return self._processor.process_batch(images)
        except FramemillError as e:
            return type(e)(str(e), e.status, e.native)


class ImageProcessor:
    """framemill.ImageProcessor in `actors` actors with `num_cpus` and `num_gpus` each (parts are allowed: `num_gpus=0.5` lets two share one).

    Pictures travel through Ray's object store: of what lies in files or comes from cameras, VideoStreamManager moves none."""

    def __init__(self, config: Config | None = None, *, actors: int = 1, num_cpus: float = 1, num_gpus: float = 0,
                 address: str | None = None, runtime_env: Mapping[str, Any] | None = None, **settings: Any) -> None:
        ray = need_ray()
        if actors < 1:
            raise InvalidArgument(f"actors is {actors}; 1 and more are allowed", "INVAL")
        s = Settings(config, settings)
        values = s.again()
        values.setdefault("threads", max(1, int(num_cpus)))
        if num_gpus:
            values.setdefault("device", "cuda:0")
        self._color = s.color
        self._joined = connect(address)
        made = ray.remote(_Actor).options(num_cpus=num_cpus, num_gpus=num_gpus, scheduling_strategy="SPREAD", **FAULTS,
                                          **({"runtime_env": dict(runtime_env)} if runtime_env else {}))
        self._actors: list[Any] | None = [made.remote(values) for _ in range(actors)]
        self._next = 0
        self._lock = threading.Lock()

    def submit(self, images: Sequence[Any]) -> Any:
        """Hands pictures to the actor whose turn it is, and returns at once: Ray's reference to what `result` gives. Pictures are looked at
        here, so that what no actor can read is said before they travel."""
        views_of(images, self._color)
        with self._lock:
            if self._actors is None:
                raise Closed("this ImageProcessor was closed", "INVAL")
            actor = self._actors[self._next % len(self._actors)]
            self._next += 1
        return actor.process.remote(list(images))

    @staticmethod
    def result(reference: Any) -> list[dict[str, Any]]:
        """The dictionaries of process_batch for what was submitted."""
        ray = need_ray()
        try:
            answer: list[dict[str, Any]] | FramemillError = ray.get(reference)
        except ray.exceptions.RayError as e:
            raise BackendError(f"an actor was lost, and could not be had again: {why(e)}", "BACKEND") from e
        if isinstance(answer, FramemillError):
            raise answer
        return answer

    def process_batch(self, images: Sequence[Any]) -> list[dict[str, Any]]:
        """framemill.ImageProcessor.process_batch; a part of the pictures for each actor."""
        if isinstance(images, (str, bytes)) or not hasattr(images, "__len__"):
            raise InvalidArgument(f"expected a list of pictures, not {type(images).__name__}", "INVAL")
        each = max(1, -(-len(images) // max(1, len(self._actors or ()))))
        parts = [self.submit(images[at:at + each]) for at in range(0, len(images), each)]
        return [found for part in parts for found in self.result(part)]

    def process(self, image: Any) -> dict[str, Any]:
        return self.process_batch([image])[0]

    def close(self) -> None:
        """Ends the actors at once; a cluster that was joined here is left. Idempotent."""
        with self._lock:
            actors, self._actors, joined, self._joined = self._actors, None, self._joined, False
        for actor in actors or ():
            need_ray().kill(actor)
        if joined:
            leave()

    def __enter__(self) -> ImageProcessor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None) -> None:
        self.close()
