# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Configuration dictionaries: the keys of `framemill run --config` (docs/config.md), and those of the Python original."""
from __future__ import annotations

import warnings
from typing import Any, Iterator, Mapping

from . import models
from ._lib import Owned, call, ffi, lib, take_text, text
from .errors import InvalidArgument
from .frames import Color, check_color

Config = Mapping[str, Any]

#: Names of the original that are called otherwise here.
ALSO = {"detector_weights": "detector", "tracker_weights": "embedder", "backbone": "embedder", "storage_path": "store_dir",
        "batch": "batch_size", "workers": "num_workers", "conf": "conf_threshold", "iou": "iou_threshold"}
#: Settings of the package, not of the library.
OWN = {"color", "pictures", "stays", "checkpoint_every", "trust", "arch", "normalization", "input_size", "streams", "zones"}
MODELS = {"detector", "segmenter", "classifier", "embedder"}


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(str(v) for v in value)
    return str(value)


def _flat(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name != "normalization":
            yield from _flat(value, name + ".")
        elif value is not None:
            yield name, value


def option_name(key: str) -> str:
    """The setting's key in configuration files. NotFound suggests what was meant."""
    option = lib.fm_option_find(ALSO.get(key, key).encode())
    if option == ffi.NULL:
        known = [text(lib.fm_option_get(i).key) for i in range(lib.fm_option_count())]
        words = [ffi.new("char[]", k.encode()) for k in [*filter(None, known), *ALSO, *OWN]]
        meant = text(lib.fm_suggest(key.encode(), ffi.new("char *[]", words), len(words)))
        hint = f", did you mean '{meant}'" if meant else "; docs/config.md lists them"
        raise InvalidArgument(f"there is no setting '{key}'{hint}", "INVAL")
    return text(option.key) or key


class Keep:
    """What C structs point at, for as long as they are used."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def string(self, value: str) -> Any:
        return self.keep(ffi.new("char[]", value.encode()))

    def keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value


class Settings(Keep):
    """A configuration, ready for the library: `opts` and what it borrows."""

    def __init__(self, config: Config | None, extra: Config) -> None:
        super().__init__()
        given = dict(_flat({**(config or {}), **extra}))
        self.color: Color = check_color(str(given.pop("color", "bgr")))
        self.pictures, self.stays = bool(given.pop("pictures", False)), bool(given.pop("stays", False))
        self.checkpoint_every = given.pop("checkpoint_every", 0)
        if not isinstance(self.checkpoint_every, int):
            raise InvalidArgument(f"checkpoint_every is {self.checkpoint_every!r}; a whole number of frames was expected", "INVAL")
        self.trust, self.arch = bool(given.pop("trust", False)), given.pop("arch", None)
        self.input_size = given.pop("input_size", None)
        self._check_normalization(given.pop("normalization", None))
        self.values: dict[str, str] = {}
        for key, value in given.items():
            name = option_name(key)
            # Of two names for one thing the original's `backbone` gives way.
            if not (key == "backbone" and ("tracker_weights" in given or "embedder" in given)):
                self.values[name] = _words(value)

    @staticmethod
    def _check_normalization(value: Any) -> None:
        """A model's own description says how its input is normalised; the original's setting has nothing left to say."""
        if value is not None and not isinstance(value, (str, bool, Mapping)):
            raise InvalidArgument(f"normalization is {value!r}; a name or a dictionary with mean and std was expected", "INVAL")

    def setdefault(self, name: str, value: str) -> None:
        self.values.setdefault(name, value)

    def again(self) -> dict[str, Any]:
        """What Settings in another process are made of, to be the same."""
        own = {"trust": self.trust, "arch": self.arch, "input_size": self.input_size, "color": self.color if self.color != "bgr" else None}
        # `color` alone is the order of a picture's colours in Python.
        values: dict[str, Any] = {"enhance.color" if k == "color" else k: v for k, v in self.values.items()}
        return {**values, **{k: v for k, v in own.items() if v}}

    def _resolve_models(self) -> None:
        for key in MODELS & self.values.keys():
            self.values[key] = models.resolve(self.values[key], trust=self.trust, arch=self.arch)

    def _warn_of_input_size(self) -> None:
        if self.input_size is None:
            return
        try:
            w, h = (int(v) for v in self.input_size)
        except (TypeError, ValueError):
            raise InvalidArgument(f"input_size is {self.input_size!r}; (width, height) was expected", "INVAL") from None
        found = models.find(self.values.get("detector", "yolox-nano"))
        if found and (found.width, found.height) != (w, h):
            warnings.warn(f"input_size is {w}x{h}, and {found.name} takes {found.width}x{found.height}: pictures are fitted into that",
                          stacklevel=4)

    def opts(self) -> Any:
        """A new fm_run_opts with all that was set."""
        self._resolve_models()
        self._warn_of_input_size()
        opts = self.keep(ffi.new("fm_run_opts *"))
        lib.fm_run_opts_init(opts)
        out = ffi.new("fm_config **")
        call(lib.fm_config_new, out)
        config = self.keep(Owned(out[0], lib.fm_config_free)).get()
        for name, value in self.values.items():
            call(lib.fm_config_set, config, name.encode(), value.encode())
        lib.fm_config_apply(config, opts)
        opts.store = self.keep(models.store_opts(self))
        opts.pictures = self.pictures
        opts.checkpoint_every = self.checkpoint_every
        cache, tuning = models.cache_dir(), models.tuning_file()
        opts.cache_dir = self.string(cache) if cache and self.values.get("cache") != "none" else ffi.NULL
        opts.tuning = self.string(tuning) if tuning else ffi.NULL
        return opts


def schema() -> str:
    """The JSON schema of configuration files, for editors."""
    out = ffi.new("char **")
    call(lib.fm_config_schema, out)
    return take_text(out[0])
