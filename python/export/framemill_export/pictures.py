# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures as a model wants them, for calibration and for measuring: the same fits as framemill's own preprocessing, in numpy."""
from __future__ import annotations

import pathlib
from typing import Any

from . import Refused

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        raise Refused(f"--pictures '{folder}' is no folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if len(found) < 8:
        raise Refused(f"--pictures '{folder}' holds {len(found)} pictures; 8 are the least, 300 are better")
    return found


def read(path: pathlib.Path) -> Any:
    """[h, w, 3] RGB of u8, or None where it is no picture."""
    try:
        import cv2
    except ImportError:
        return read_with_pillow(path)
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if picture is None else picture[:, :, ::-1]


def read_with_pillow(path: pathlib.Path) -> Any:
    import numpy as np

    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as e:
        raise Refused("this needs the Python package opencv-python-headless or pillow to read pictures") from e
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError):
        return None


def resize(picture: Any, width: int, height: int) -> Any:
    """Bilinear, pixel centres aligned, edges repeated."""
    import numpy as np

    h, w = picture.shape[:2]
    x = np.clip((np.arange(width) + 0.5) * w / width - 0.5, 0, w - 1)
    y = np.clip((np.arange(height) + 0.5) * h / height - 0.5, 0, h - 1)
    x0, y0 = x.astype(int), y.astype(int)
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = (x - x0)[None, :, None], (y - y0)[:, None, None]
    p = picture.astype(np.float32)
    top = p[y0][:, x0] * (1 - fx) + p[y0][:, x1] * fx
    bottom = p[y1][:, x0] * (1 - fx) + p[y1][:, x1] * fx
    return np.round(top * (1 - fy) + bottom * fy).astype(np.uint8)


def fit(picture: Any, wants: dict[str, Any]) -> Any:
    import numpy as np

    width, height = wants["size"]
    h, w = picture.shape[:2]
    kind = wants.get("fit", "letterbox")
    if kind == "stretch":
        return resize(picture, width, height)
    if kind == "crop":
        ratio = float(wants.get("crop_ratio", 1.0)) * min(w / width, h / height)
        cw, ch = min(w, round(width * ratio)), min(h, round(height * ratio))
        left, top = (w - cw) // 2, (h - ch) // 2
        return resize(picture[top:top + ch, left:left + cw], width, height)
    scale = min(width / w, height / h)
    nw, nh = max(1, round(w * scale)), max(1, round(h * scale))
    canvas = np.full((height, width, 3), wants.get("pad", 114), np.uint8)
    center = wants.get("anchor", "center") == "center"
    left, top = ((width - nw) // 2, (height - nh) // 2) if center else (0, 0)
    canvas[top:top + nh, left:left + nw] = resize(picture, nw, nh)
    return canvas


def as_input(picture: Any, wants: dict[str, Any]) -> Any:
    """[1,3,h,w] or [1,h,w,3] of floats: (value - mean) / scale."""
    import numpy as np

    fitted = fit(picture, wants)
    if wants.get("color", "rgb") == "bgr":
        fitted = fitted[:, :, ::-1]
    mean, scale = (np.broadcast_to(np.asarray(wants.get(k, d), np.float32), (3,)) for k, d in (("mean", 0), ("scale", 1)))
    x = (fitted.astype(np.float32) - mean) / scale
    return np.ascontiguousarray((x if wants.get("layout", "nchw") == "nhwc" else x.transpose(2, 0, 1))[None])
