"""Colour encodings we do not decode ourselves (Bayer, YUV) by the ROS installation's cv_bridge, where there is one.

PyPI's package of the same name is another thing that must not be taken for it; the ament index tells them apart.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError
from tiae_ros.streams.image_decoding import COLOR_ENCODINGS

# sensor_msgs/image_encodings.hpp: what cv_bridge converts to rgb8
PREFIXES = ("bayer_", "yuv422", "uyvy", "yuyv", "nv21", "nv24", "rgb16", "bgr16", "rgba16", "bgra16")


def is_other_color(encoding: str) -> bool:
    """Whether this is a colour encoding that only cv_bridge can decode."""
    return encoding.startswith(PREFIXES)


def decode_by_cv_bridge(image: Any) -> NDArray[np.uint8]:
    """A sensor_msgs/Image of such an encoding -> rgb (H, W, 3) uint8.

    Raises ImageError: cv_bridge is not installed, or the fields do not agree with the data.
    """
    encoding, height, width, step = image.encoding, int(image.height), int(image.width), int(image.step)
    size = len(image.data)
    if height < 1 or width < 1 or step < width or size != step * height:  # before OpenCV believes the header
        raise ImageError(
            f"image is {width}x{height} {encoding} with a step of {step} and {size} bytes of data; these do not agree"
        )
    bridge = _bridge()
    if bridge is None:
        raise ImageError(
            f"image encoding {encoding!r} is not supported without cv_bridge, which comes with a ROS installation and "
            f"is not here; accepted are {', '.join(COLOR_ENCODINGS)}"
        )
    try:
        pixels = np.asarray(bridge.imgmsg_to_cv2(image, desired_encoding="rgb8"))
    except Exception as error:  # cv_bridge lets OpenCV's and its own exceptions through
        raise ImageError(f"cv_bridge cannot convert {encoding!r} to rgb8: {' '.join(str(error).split())}") from error
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        raise ImageError(f"cv_bridge made {pixels.shape} {pixels.dtype} of a {width}x{height} {encoding} image")
    return pixels


@cache
def _bridge() -> Any:
    """The ROS installation's CvBridge, or None."""
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_prefix

        try:
            get_package_prefix("cv_bridge")
        except (PackageNotFoundError, ValueError, LookupError, OSError):  # OSError: no index at all
            return None
        from cv_bridge import CvBridge
    except ImportError:
        return None
    return CvBridge()
