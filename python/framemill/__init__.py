# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""framemill: many videos and pictures through neural networks, in batches, tracked, enhanced, stored and searched.

A thin shell over the C library: no algorithm lives here, pictures cross as they lie in memory, and other Python threads run while
the library works. docs/python.md shows how to use it."""
from __future__ import annotations

from . import models
from ._lib import lib as _lib
from ._lib import text as _text
from .data import DataManager
from .enhance import EnhancementPipeline
from .errors import (BackendError, Canceled, Closed, FramemillError, InvalidArgument, MissingPackage, NotFound)
from .frames import Frame
from .models import fetch as fetch_model
from .processor import AnalysisSystem, ImageProcessor
from .results import CLASS_SCORE, DETECTION, Result
from .streams import VideoStreamManager
from .tune import PerformanceOptimizer

__version__: str = _text(_lib.fm_version()) or ""

__all__ = ["AnalysisSystem", "BackendError", "CLASS_SCORE", "Canceled", "Closed", "DETECTION", "DataManager", "EnhancementPipeline",
           "Frame", "FramemillError", "ImageProcessor", "InvalidArgument", "MissingPackage", "NotFound", "PerformanceOptimizer",
           "Result", "VideoStreamManager", "__version__", "fetch_model", "models"]
