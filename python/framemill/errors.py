# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Failures of the library as exceptions: one line that says what, which and what to do."""
from __future__ import annotations


class FramemillError(Exception):
    """What the C library says: `status` is its code's name ("NOTFOUND"), `native` the code of the library below, or 0."""

    def __init__(self, message: str, status: str = "INTERNAL", native: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.native = native


class InvalidArgument(FramemillError, ValueError):
    """Something was given that cannot be used."""


class NotFound(FramemillError, LookupError):
    """A model, a file, a stream that is not there."""


class Canceled(FramemillError):
    """The work was stopped before it was done."""


class Closed(FramemillError, ValueError):
    """The object was closed, or is used in a process that was forked after it was made."""


class BackendError(FramemillError, RuntimeError):
    """A network that did not load or run."""


class MissingPackage(FramemillError, ImportError):
    """A Python package is needed for this; the message says the command that installs it."""


BY_STATUS: dict[str, type[FramemillError]] = {
    "INVAL": InvalidArgument, "NOTFOUND": NotFound, "CANCELED": Canceled, "BACKEND": BackendError,
}
