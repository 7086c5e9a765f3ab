"""Camera message fields -> arrays. Checked by arithmetic before numpy touches the data.

The fields are those of sensor_msgs/Image, so a message decodes as

    array = decode_message(m)                  # or decode_image(encoding=…, height=…, …)
    color = to_rgb(array, m.encoding)          # (H, W, 3) uint8
    depth = to_depth_m(array, m.encoding)      # (H, W) float32 metres, NaN = nothing
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError
from tiae_ros.streams.depth_units import MILLIMETRE_M

# encoding -> (type of one value, values per pixel); names of sensor_msgs/image_encodings.hpp
ENCODINGS: dict[str, tuple[str, int]] = {
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "mono8": ("u1", 1),
    "8UC1": ("u1", 1),
    "8UC3": ("u1", 3),
    "8UC4": ("u1", 4),
    "mono16": ("u2", 1),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
}
# The picks that turn a pixel's values into red, green, blue; untyped 8-bit pictures are in OpenCV's order.
_RGB_ORDER: dict[str, tuple[int, int, int]] = {
    "rgb8": (0, 1, 2),
    "rgba8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "bgra8": (2, 1, 0),
    "8UC3": (2, 1, 0),
    "8UC4": (2, 1, 0),
}
COLOR_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "8UC1", "8UC3", "8UC4")
DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")

_NO_READING_MM = 65535  # what some drivers send instead of 0
_NEAREST_READING_M = 0.001  # one step of 16-bit depth; less is noise around "nothing"


def decode_message(message: Any) -> NDArray[Any]:
    """The pixels of anything with the fields of sensor_msgs/Image; as `decode_image`."""
    return decode_image(
        encoding=message.encoding,
        height=message.height,
        width=message.width,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
        data=message.data,
    )


def decode_image(*, encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Any) -> NDArray[Any]:
    """The pixels of a raw image: (H, W) or (H, W, channels), a view of the data where that is possible.

    Raises:
        ImageError: an unknown encoding, or sizes that do not agree with each other or with the data.
    """
    height, width, step = int(height), int(width), int(step)
    if height < 1 or width < 1:  # an empty message may well have no encoding either
        raise ImageError(f"image is {width}x{height}; both must be at least 1")
    if encoding not in ENCODINGS:
        raise ImageError(f"image encoding {encoding!r} is not supported; accepted are {', '.join(ENCODINGS)}")
    kind, channels = ENCODINGS[encoding]
    value_bytes = int(kind[1])
    row_bytes = width * channels * value_bytes
    if step < row_bytes:
        raise ImageError(
            f"image step of {step} bytes is too short for {width} pixels of {encoding}; it must be at least {row_bytes}"
        )
    raw = _bytes_of(data)
    if raw.nbytes != step * height:
        fault = "too short" if raw.nbytes < step * height else "too long"
        raise ImageError(
            f"image data is {fault}: {raw.nbytes} bytes, but {width}x{height} {encoding} with "
            f"a step of {step} needs {step * height}"
        )
    swapped = value_bytes > 1 and is_bigendian == (sys.byteorder == "little")
    stored = np.dtype(kind).newbyteorder(">" if is_bigendian else "<")
    pixel_bytes = channels * value_bytes
    pixels: NDArray[Any] = np.ndarray(
        (height, width, channels), stored, buffer=raw, strides=(step, pixel_bytes, value_bytes)
    )
    if channels == 1:
        pixels = pixels[:, :, 0]  # (H, W, 1) -> (H, W)
    return pixels.astype(kind) if swapped else pixels


def to_rgb(array: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
    """Decoded colour or grey pixels -> (H, W, 3) uint8 red, green, blue; alpha is dropped."""
    if encoding in _RGB_ORDER:
        order = _RGB_ORDER[encoding]
        if order == (0, 1, 2):
            return np.ascontiguousarray(array[:, :, :3])
        return np.ascontiguousarray(array[:, :, 2::-1])
    if encoding in ("mono8", "8UC1"):
        return np.repeat(array[:, :, None], 3, axis=2)  # (H, W) -> (H, W, 3)
    raise ImageError(f"image encoding {encoding!r} cannot be used as colour; accepted are {', '.join(COLOR_ENCODINGS)}")


def to_depth_m(array: NDArray[Any], encoding: str, unit_m: float = MILLIMETRE_M) -> NDArray[np.float32]:
    """Decoded depth pixels -> (H, W) float32 metres, NaN where there is no reading.

    16UC1 (and mono16) counts millimetres, or another ``unit_m``; 32FC1 metres (REP 118). No reading is: not finite, not
    above 0 (nor, of 32FC1, below one millimetre), 65535.
    """
    if encoding not in DEPTH_ENCODINGS:
        raise ImageError(
            f"image encoding {encoding!r} cannot be used as depth; accepted are {', '.join(DEPTH_ENCODINGS)}"
        )
    if encoding == "32FC1":
        depth = array.astype(np.float32)
        with np.errstate(invalid="ignore"):
            depth[~((depth >= _NEAREST_READING_M) & (depth < _NO_READING_MM))] = np.nan
        return depth
    depth = array.astype(np.float32)
    depth *= np.float32(unit_m)
    depth[(array == 0) | (array == _NO_READING_MM)] = np.nan
    return depth


def resize_depth_to(depth_m: NDArray[np.float32], color_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Registered depth at the colour image's size, nearest reading (a mean over an edge is no reading).

    Raises:
        ImageError: the two are not views of one width-to-height ratio.
    """
    height, width = color_shape[:2]
    if depth_m.shape == (height, width):
        return depth_m
    depth_height, depth_width = depth_m.shape
    # A hundredth is left for sizes that were rounded to whole pixels.
    if abs(depth_width * height - depth_height * width) * 100 > depth_height * width:
        raise ImageError(
            f"depth is {depth_width}x{depth_height} but colour is {width}x{height}; the sizes must be equal "
            "or at least of one ratio (registered depth)"
        )
    resized = cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.astype(np.float32, copy=False)


def _bytes_of(data: Any) -> NDArray[np.uint8]:
    """Anything with a contiguous buffer (bytes, bytearray, array.array, memoryview, ndarray), not copied."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise ImageError(f"image data of type {type(data).__name__} cannot be read as bytes: {error}") from None
