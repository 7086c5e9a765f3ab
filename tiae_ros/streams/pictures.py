"""A camera message of any kind -> a picture: raw, compressed, or in an encoding that only cv_bridge knows.

The node and the reader of bags both decode by these, so what one takes the other takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.streams.compressed_images import decode_compressed_color, decode_compressed_depth
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.image_decoding import DEPTH_ENCODINGS, decode_message, to_depth_m, to_rgb
from tiae_ros.streams.other_encodings import decode_by_cv_bridge, is_other_color

GREY_ENCODINGS = ("mono8", "8UC1")  # a mask may be one too


def color_of(image: Any, *, need_pixels: bool = True) -> tuple[NDArray[np.uint8] | None, tuple[int, int]]:
    """Pixels (H, W, 3) uint8 rgb, or None when nobody needs them, and (H, W).

    image: anything with the fields of sensor_msgs/Image, or CompressedImage.

    Raises:
        ImageError: it cannot be decoded.
    """
    if is_compressed(image):
        pixels = decode_compressed_color(image.data)
        return pixels, (pixels.shape[0], pixels.shape[1])
    if is_other_color(image.encoding):
        pixels = decode_by_cv_bridge(image)
        return pixels, (pixels.shape[0], pixels.shape[1])
    stored = decode_message(image)
    return (to_rgb(stored, image.encoding) if need_pixels else None), (stored.shape[0], stored.shape[1])


def depth_of(image: Any, unit_m: float = MILLIMETRE_M) -> NDArray[np.float32]:
    """Metres (H, W), NaN = nothing.

    Args:
        image: anything with the fields of sensor_msgs/Image, or CompressedImage.
        unit_m: one step of 16-bit depth.

    Raises:
        ImageError: it cannot be decoded.
    """
    if is_compressed(image):
        return decode_compressed_depth(image.data, image.format, unit_m)
    return to_depth_m(decode_message(image), image.encoding, unit_m)


def is_compressed(image: Any) -> bool:
    """Whether it is a CompressedImage, not an Image."""
    return not hasattr(image, "encoding")


def encoding_of(image: Any) -> str:
    """The encoding, or the format of a compressed one."""
    return str(image.format if is_compressed(image) else image.encoding)


def is_depth(encoding: str) -> bool:
    """Whether an encoding, or a compressed format, is one of depth; "16UC1; compressedDepth png" is."""
    return encoding.partition(";")[0].strip() in DEPTH_ENCODINGS or "compressedDepth" in encoding
