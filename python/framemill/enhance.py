# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures made better: denoised, corrected in colour, enlarged."""
from __future__ import annotations

import threading
from typing import Any

from . import models
from ._lib import Owned, call, ffi, lib
from .errors import Closed
from .frames import Color, Frame, Image, check_color, frame_over


class EnhancementPipeline:
    """`framemill enhance` for arrays. The words are those of the command (docs/enhance.md); `sr` enlarges: "x2", "lanczos:2", a model.
    `video=True`: pictures follow one another, and what is measured in them is averaged over time.

    >>> import numpy as np
    >>> EnhancementPipeline(denoise="none", color="levels=0.002").enhance(np.zeros((48, 64, 3), np.uint8)).shape
    (48, 64, 3)
    """

    def __init__(self, denoise: str = "auto", color: str = "auto", lut: str | None = None, sr: str = "none", device: str = "cpu",
                 precision: str = "fp32", threads: int = 0, video: bool = False, order: Color = "bgr") -> None:
        self._order = check_color(order)
        self._lock = threading.Lock()  # an enhancer is one thread's
        self._keep: list[Any] = []
        opts = ffi.new("fm_enhance_opts *")
        opts.struct_size = ffi.sizeof("fm_enhance_opts")
        for name, value in (("denoise", denoise), ("color", color), ("lut", lut), ("sr", models.resolve(sr)), ("device", device),
                            ("precision", precision), ("cache_dir", models.cache_dir())):
            if value is not None:
                setattr(opts, name, self.string(value))
        opts.threads = threads
        store = models.store_opts(self)
        opts.store = store
        out = ffi.new("fm_enhancer **")
        call(lib.fm_enhancer_new, opts, video, out)
        self._owned: Owned | None = Owned(out[0], lib.fm_enhancer_free)
        self._keep.clear()

    def string(self, value: str) -> Any:
        self._keep.append(ffi.new("char[]", value.encode()))
        return self._keep[-1]

    def enhance(self, image: Any) -> Image:
        """A better picture, of the order of channels that was given. The array is a view of the library's memory."""
        with self._lock:
            owned = self._owned
            if owned is None:
                raise Closed("this EnhancementPipeline was closed", "INVAL")
            frame, out = frame_over(image, self._order), ffi.new("fm_frame **")
            call(lib.fm_enhancer_run, owned.get(), frame.get(), out)
        result = Frame(Owned(out[0], lib.fm_frame_unref))
        return result.planes[0] if result.format == "gray8" else result.numpy(self._order)

    def close(self) -> None:
        with self._lock:
            self._owned = None
