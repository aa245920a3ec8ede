# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill over a Ray cluster: the same classes, spread over its machines. docs/ray.md shows how to use it.

Addresses of videos travel to the machines, and compact records come back; pixels travel only where a program holds them itself."""
from __future__ import annotations

from ._cluster import connect
from .mapper import VideoMapper
from .processor import ImageProcessor
from .records import Record
from .streams import VideoStreamManager
from .videos import Summary, map_videos

__all__ = ["ImageProcessor", "Record", "Summary", "VideoMapper", "VideoStreamManager", "connect", "map_videos"]
