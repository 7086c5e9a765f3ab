"""From a pixel and a depth to metres in the camera's optical frame (x right, y down, z forward; REP 103)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tiae_ros.streams.camera import calibrated


def metric_position(x_px: float, y_px: float, depth_m: float, k: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The point (3,) in metres seen at a pixel at a z-depth.

    None when it cannot be known: the camera is not calibrated (fx or fy is 0, a value is not finite) or the
    depth is not a finite number above 0.
    """
    matrix = calibrated(k)
    if matrix is None or not all(math.isfinite(value) for value in (x_px, y_px, depth_m)) or depth_m <= 0:
        return None
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    y = (y_px - cy) / fy
    x = (x_px - cx - matrix[0, 1] * y) / fx
    return np.array([x * depth_m, y * depth_m, depth_m])
