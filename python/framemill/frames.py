# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Pictures in and out: numpy arrays over C memory and C frames over numpy memory. Nothing here copies a pixel, unless it says so."""
from __future__ import annotations

from typing import Any, Literal, Sequence

import numpy as np
import numpy.typing as npt

from ._lib import NULL, Owned, call, ffi, lib, text
from .errors import InvalidArgument

Color = Literal["bgr", "rgb"]
Image = npt.NDArray[np.uint8]

_TURNED: dict[str, Color] = {"bgr": "rgb", "rgb": "bgr"}


def check_color(color: str) -> Color:
    if color not in _TURNED:
        raise InvalidArgument(f"color is '{color}'; bgr (as OpenCV gives pictures) and rgb are allowed", "INVAL")
    return "bgr" if color == "bgr" else "rgb"


def _refuse(what: str, which: str) -> InvalidArgument:
    return InvalidArgument(f"{which}: {what}", "INVAL")


def fill_view(view: Any, image: Any, color: Color, which: str = "the picture") -> None:
    """Points an fm_frame_view at an array's pixels: uint8, [height, width, 3], or [height, width] of grey. Rows may have any
    distance (parts of a larger picture, upside down); the pixels of a row must follow each other. Channels in the opposite order
    (`image[..., ::-1]`) are read as what they are."""
    if not isinstance(image, np.ndarray):
        raise _refuse(f"expected a numpy array, not {type(image).__name__}", which)
    if image.dtype != np.uint8:
        raise _refuse(f"expected dtype uint8, not {image.dtype}; scale and convert with (255 * x).astype('uint8')", which)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise _refuse(f"expected [height, width, 3] or [height, width], not {list(image.shape)}", which)
    address: int = image.__array_interface__["data"][0]
    strides = image.strides
    if image.ndim == 2:
        packed, pixel_format = strides[1] == 1 or image.shape[1] == 1, lib.FM_PIXFMT_GRAY8
    else:
        if strides[2] == -1:
            address, color = address - 2, _TURNED[color]
        packed = abs(strides[2]) == 1 and (strides[1] == 3 or image.shape[1] == 1)
        pixel_format = lib.FM_PIXFMT_BGR24 if color == "bgr" else lib.FM_PIXFMT_RGB24
    if not packed or not -(1 << 31) <= strides[0] < 1 << 31:
        raise _refuse(f"its pixels do not follow each other (strides {list(strides)}); copy it with numpy.ascontiguousarray", which)
    view.plane[0] = ffi.cast("uint8_t *", address)
    # Of a single row numpy may say anything.
    view.stride[0] = strides[0] if image.shape[0] > 1 else image.shape[1] * (image.shape[2] if image.ndim == 3 else 1)
    view.height, view.width = image.shape[0], image.shape[1]
    view.format = pixel_format
    view.matrix, view.range, view.chroma_site = lib.FM_MATRIX_BT601, lib.FM_RANGE_FULL, lib.FM_CHROMA_CENTER


def views_of(images: Sequence[Any], color: Color) -> Any:
    """An array of fm_frame_view over the pictures, which must be kept by the caller as long as it is used."""
    views = ffi.new("fm_frame_view[]", len(images))
    for i, image in enumerate(images):
        fill_view(views[i], image, color, f"picture {i}")
    return views


class _Memory:
    """C memory as numpy sees it: whoever holds the array holds this, and this its owner."""

    def __init__(self, owner: object, address: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: np.dtype[Any],
                 writable: bool) -> None:
        self._owner = owner
        self.__array_interface__ = {"version": 3, "data": (address, not writable), "shape": shape, "strides": strides,
                                    "typestr": dtype.str, "descr": dtype.descr}


def array_over(owner: object, pointer: Any, shape: tuple[int, ...], dtype: npt.DTypeLike, strides: tuple[int, ...] | None = None,
               writable: bool = False) -> npt.NDArray[Any]:
    """An array over C memory that lives as long as owner does."""
    kind = np.dtype(dtype)
    if 0 in shape or pointer == NULL:
        return np.empty(shape, kind)
    return np.asarray(_Memory(owner, int(ffi.cast("uintptr_t", pointer)), shape, strides, kind, writable))


class Frame:
    """A picture of the library's, shared and not to be changed."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._view = lib.fm_frame_get_view(owned.get())

    @property
    def width(self) -> int:
        return int(self._view.width)

    @property
    def height(self) -> int:
        return int(self._view.height)

    @property
    def format(self) -> str:
        """"yuv420p", "nv12", "rgb24", ...: what `planes` hold."""
        return text(lib.fm_pixfmt_name(self._view.format)) or "none"

    @property
    def planes(self) -> tuple[Image, ...]:
        """The planes as they lie in memory, not copied."""
        return tuple(self._plane(i) for i in range(lib.fm_pixfmt_planes(self._view.format)))

    def _plane(self, i: int) -> Image:
        v, name = self._view, self.format
        half_x, half_y = name in ("yuv420p", "yuv422p", "nv12"), name in ("yuv420p", "nv12")
        w = (v.width + 1) // 2 if i and half_x else int(v.width)
        h = (v.height + 1) // 2 if i and half_y else int(v.height)
        channels = 3 if name in ("rgb24", "bgr24") else 2 if name == "nv12" and i else 1
        shape: tuple[int, ...] = (h, w) if channels == 1 else (h, w, channels)
        strides: tuple[int, ...] = (int(v.stride[i]), 1) if channels == 1 else (int(v.stride[i]), channels, 1)
        return array_over(self._owned, v.plane[i], shape, np.uint8, strides)

    def numpy(self, color: Color = "bgr") -> Image:
        """The picture as [height, width, 3]: the memory itself where it lies so, else a converted copy."""
        wanted = check_color(color)
        if self.format == wanted + "24":
            return self._plane(0)
        out = np.empty((self.height, self.width, 3), np.uint8)
        call(lib.fm_frame_read, self._owned.get(), lib.FM_PIXFMT_BGR24 if wanted == "bgr" else lib.FM_PIXFMT_RGB24,
             ffi.cast("uint8_t *", out.ctypes.data), out.nbytes)
        return out


def frame_over(image: Any, color: Color) -> Owned:
    """A C frame over an array's pixels. The array must be kept by the caller until the frame is gone."""
    view = ffi.new("fm_frame_view *")
    fill_view(view, image, color)
    out = ffi.new("fm_frame **")
    call(lib.fm_frame_new, view, -(1 << 63), NULL, NULL, out)
    return Owned(out[0], lib.fm_frame_unref)
