# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""The files of an offline job: which there are, what they are called, and whether they are what they were."""
from __future__ import annotations

import glob
import os
import re
from typing import Iterable, Iterator, Mapping, Union

from ..errors import InvalidArgument, NotFound

#: Endings by which a folder's videos are known. A list may name files with any.
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp", ".ogv")
LIVE = ("rtsp://", "rtsps://", "v4l2://")
NAME_MAX = 100  # bytes, as the library has it

Paths = Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]]


def _is_remote(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _videos_below(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (os.path.join(place, f) for f in sorted(files) if f.lower().endswith(VIDEOS))


def _spread(given: str) -> list[str]:
    """What one text stands for: a folder's videos, the files of a pattern, or itself."""
    if os.path.isdir(given):
        found = list(_videos_below(given))
        if not found:
            raise NotFound(f"no video lies in the folder '{given}' or below it ({', '.join(VIDEOS)}); give a list of files, or of folders "
                           "of pictures", "NOTFOUND")
        return found
    if glob.has_magic(given) and not os.path.exists(given) and not given.startswith("testsrc:") and not _is_remote(given):
        found = sorted(glob.glob(given, recursive=True))
        if not found:
            raise NotFound(f"no file matches '{given}'", "NOTFOUND")
        return found
    return [given]


def _checked(path: str, bounded: bool) -> str:
    """The input with its full path, as other machines know it."""
    if os.path.exists(path):
        return os.path.abspath(path)
    if path.startswith("testsrc:") and (bounded or re.search(r",frames=\d*[1-9]", path)):
        return path
    if path.startswith((*LIVE, "testsrc:")):
        raise InvalidArgument(f"'{path}' has no end, and map_videos is for files: "
                              + ("give it ',frames=N'" if path.startswith("testsrc:") else "VideoStreamManager takes cameras"), "INVAL")
    if not _is_remote(path):
        raise NotFound(f"the input '{path}' does not exist", "NOTFOUND")
    return path


def find(paths: Paths, bounded: bool = False) -> list[str]:
    """All inputs, each once, in the order given (of a folder or a pattern: by name). `bounded`: a setting ends endless ones."""
    if isinstance(paths, (str, os.PathLike)):
        given = _spread(os.fspath(paths))
    else:
        given = [os.fspath(p) for p in paths]
        if not given:
            raise InvalidArgument("there is nothing to do: the list of paths is empty", "INVAL")
    return list(dict.fromkeys(_checked(p, bounded) for p in given))


def signature(path: str) -> tuple[int | None, int | None]:
    """Bytes and time of the last change in ns; of a folder: of the files in it. None where only the input itself could say."""
    try:
        if os.path.isdir(path):
            stats = [e.stat() for e in os.scandir(path) if e.is_file()]
        else:
            stats = [os.stat(path)]
    except OSError:
        return None, None
    return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


def _base_name(path: str) -> str:
    """The file's name without its ending, made safe for file systems. Digits alone get a word in front: readers of partitioned files
    would take them for numbers, and 007 for 7."""
    if path.startswith("testsrc:"):
        return "testsrc"
    if _is_remote(path):
        path = re.sub(r"^https?://([^/]*@)?|[?#].*$", "", path).replace("/", "_")
    stem = os.path.basename(path) if os.path.isdir(path) else os.path.splitext(os.path.basename(path))[0]
    safe = re.sub(r"[^\w.-]+", "_", stem.encode("utf-8", "replace").decode()).lstrip(".-")
    safe = safe.encode()[:NAME_MAX].decode("utf-8", "ignore") or "stream"
    return f"video-{safe}" if safe.isdecimal() else safe


def names(paths: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """A name of its own for each path. One that is known keeps its name, so that a job taken up again gives the others the names that
    they would have had."""
    used, tried, out = set(known.values()), dict[str, int](), {}
    for path in paths:
        name = base = _base_name(path)
        if path in known:
            name = known[path]
        else:
            while name in used:
                tried[base] = tried.get(base, 1) + 1
                name = f"{base}-{tried[base]}"
        used.add(name)
        out[path] = name
    return out
