# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The best batch of a model on this machine, found by measuring."""
from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any, Sequence

import numpy as np

from . import models
from ._lib import NULL, Owned, call, ffi, lib
from .config import Config, Settings
from .errors import NotFound
from .frames import check_color, fill_view


def write_bmp(path: pathlib.Path, image: Any, color: str) -> None:
    """A picture as Windows bitmap: rows bottom up, B, G, R, padded to 4 bytes."""
    fill_view(ffi.new("fm_frame_view *"), image, check_color(color))  # refuses what is no picture
    pixels = np.repeat(image.reshape(*image.shape[:2], -1), 3 if image.ndim == 2 or image.shape[2] == 1 else 1, axis=2)
    pixels = pixels[..., ::-1] if color == "rgb" else pixels
    height, width = pixels.shape[:2]
    rows = np.zeros((height, (3 * width + 3) // 4 * 4), np.uint8)
    rows[:, :3 * width] = pixels[::-1].reshape(height, -1)
    head = np.array([54 + rows.size, 0, 54, 40, width, height, 1 | 24 << 16, 0, rows.size, 2835, 2835, 0, 0], "<u4")
    path.write_bytes(b"BM" + head.tobytes() + rows.tobytes())


class PerformanceOptimizer:
    """Measures a model with batches of several sizes (docs/tune.md)."""

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        self._settings = Settings(config, settings)
        self._settings.setdefault("detector", "yolox-nano")

    def _measure(self, inputs: Sequence[str], max_batch: int, sample_s: float, max_latency_ms: float) -> Owned:
        s = self._settings
        opts = ffi.new("fm_tune_opts *")
        opts.struct_size = ffi.sizeof("fm_tune_opts")
        names = [s.string(i) for i in inputs]
        opts.inputs = s.keep(ffi.new("char *[]", names)) if names else NULL
        opts.input_count = len(names)
        opts.model = s.string(models.resolve(s.values["detector"], s.trust, s.arch))
        for key in ("head", "labels", "backend", "device", "precision"):
            if key in s.values:
                setattr(opts, key, s.string(s.values[key]))
        opts.max_batch, opts.sample_s, opts.max_latency_ms = max_batch, sample_s, max_latency_ms
        opts.store = s.keep(models.store_opts(s))
        cache = models.cache_dir()
        opts.cache_dir = s.string(cache) if cache else NULL
        out = ffi.new("fm_tune_report **")
        call(lib.fm_tune, opts, out)
        return Owned(out[0], lib.fm_tune_free)

    def optimize_batch_size(self, sample: Any = None, max_batch: int = 64, sample_s: float = 0.25, max_latency_ms: float = 0,
                            save: bool = False) -> tuple[int, float]:
        """(batch, seconds): the batch with most frames a second, and what such a batch takes from end to end.

        `sample` is a picture (array or path), a list of them, or None for a test picture. `save` keeps the setting for runs with
        batch_size auto, as `framemill tune` does."""
        with tempfile.TemporaryDirectory(prefix="framemill-") as folder:
            several = sample if isinstance(sample, (list, tuple)) else [] if sample is None else [sample]
            inputs = []
            for i, one in enumerate(several):
                path = pathlib.Path(folder, f"{i:06}.bmp")
                if isinstance(one, (str, os.PathLike)):
                    path = pathlib.Path(one)
                else:
                    write_bmp(path, one, self._settings.color)
                inputs.append(str(path))
            report = self._measure(inputs, max_batch, sample_s, max_latency_ms)
        row, best = ffi.new("fm_tune_row *"), lib.fm_tune_best(report.get())
        if best >= lib.fm_tune_count(report.get()):
            raise NotFound("no setting could be measured within the bounds", "NOTFOUND")
        lib.fm_tune_get(report.get(), best, row)
        path_of_tuning = models.tuning_file()
        if save and path_of_tuning:
            pathlib.Path(path_of_tuning).parent.mkdir(parents=True, exist_ok=True)
            call(lib.fm_tune_save, report.get(), path_of_tuning.encode())
        return int(row.batch), float(row.batch / row.fps)
