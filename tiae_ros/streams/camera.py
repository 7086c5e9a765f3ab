"""The camera that a picture was taken by: its matrix K of that picture's pixels, or why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def focal_length_px(k: NDArray[np.float64]) -> float | None:
    """Mean focal length of a camera matrix (3x3 or its 9 values), None when it is not calibrated."""
    matrix = calibrated(k)
    return None if matrix is None else float((matrix[0, 0] + matrix[1, 1]) / 2)


def calibrated(k: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """K as 3x3, None when it is that of an uncalibrated camera (sensor_msgs/CameraInfo: all zeros)."""
    matrix = np.asarray(k, dtype=np.float64)
    if matrix.size != 9:
        return None
    matrix = matrix.reshape(3, 3)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        return None
    return matrix


def camera_matrix(
    info: Any, color_frame: str, shape: tuple[int, int]
) -> tuple[NDArray[np.float64] | None, dict[str, str]]:
    """K (3, 3) of the colour image's pixels, or None; and by reason why metres are withheld.

    Args:
        info: anything with the fields of sensor_msgs/CameraInfo; None: there was none yet.
        color_frame: frame_id of the colour image.
        shape: its height and width.
    """
    if info is None:
        return None, {"no camera info": "no camera info yet: positions in metres are withheld"}
    k = np.asarray(info.k, dtype=np.float64)
    if focal_length_px(k) is None:
        return None, {"camera info": f"camera info is not calibrated (fx = {k[0]:g}): positions are withheld"}
    k = k.reshape(3, 3)
    info_frame = info.header.frame_id
    if info_frame and color_frame and info_frame != color_frame:
        return None, {
            "camera info": f"camera info is of frame {info_frame!r} but colour is of {color_frame!r}: "
            "positions are withheld"
        }
    height, width = shape
    if info.width and info.height and (info.width, info.height) != (width, height):
        if info.width * height != info.height * width:
            return None, {
                "camera info": f"camera info is for {info.width}x{info.height} but colour is {width}x{height}: "
                "positions are withheld"
            }
        scale = width / info.width
        # Pixel centres lie at integers, so the picture's corner is at -0.5.
        k = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]]) @ k
    return k, {}
