"""A square window of a fixed metric size on a grasp, and the way from it back to the picture.

*Convention.* Image pixel centres lie at integer coordinates, and so do those of the window. Window pixel
``(u, v)`` of a ``size`` x ``size`` window has its centre in the image at

    x = center_x + (u - (size - 1) / 2) * side_px / size        (y likewise)

and covers ``side_px / size`` image pixels in each direction. Moving labels and depth by whole pixels moves
the centre by exactly as much and changes no bit of the contents, as long as nothing of the grasp is cut off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.vision.labels import Floats, Mask

DEFAULT_RANGE_M = 0.30  # metres from the depth value 0 to 1
COVERED = 0.5  # a window pixel at least half of which is hand or object


@dataclass(frozen=True)
class Window:
    """A square part of the colour image that holds a grasp."""

    center_x: float
    center_y: float
    side_px: float
    depth_m: float
    """Reference depth: median of the hand's readings."""

    def __post_init__(self) -> None:
        values = (self.center_x, self.center_y, self.side_px, self.depth_m)
        if not all(math.isfinite(value) for value in values) or self.side_px <= 0 or self.depth_m <= 0:
            raise ParameterError(f"a window needs finite numbers and a positive side and depth, got {values}")


def depth_from_window(
    values: Floats, window: Window, range_m: float = DEFAULT_RANGE_M, threshold: float = 0.15
) -> Floats:
    """Metres from the values of ``cut_depth`` (any shape), NaN where a value is below ``threshold``."""
    check_range(range_m)
    values = np.asarray(values, dtype=np.float32)
    depth = np.float32(window.depth_m - range_m / 2) + (1 - np.clip(values, 0, 1)) * np.float32(range_m)
    with np.errstate(invalid="ignore"):
        return np.where((values >= threshold) & (depth > 0), depth, np.float32(np.nan)).astype(np.float32)


def surface_values(depth: Floats, cover: Floats) -> Floats:
    """Restored depth values of what is there: (…, H, W) twice -> the same, 0 where nothing is restored.

    What an auto-encoder restores is a mean over what may be there. On outlines that is a mean of a surface's value and
    of nothing's (0), which is the depth of neither; divided by the share of the pixel that is restored as hand or
    object (`cover`) it is the surface's. This is how colours with an alpha channel are unmixed.
    """
    shared = np.minimum(depth / np.maximum(cover, np.float32(COVERED)), np.float32(1.0))
    return np.where(cover >= COVERED, shared, np.float32(0.0)).astype(np.float32)


def window_to_image(x: float, y: float, window: Window, size: int = 32) -> tuple[float, float]:
    """Window coordinates -> image coordinates (see the convention above)."""
    scale, middle = window.side_px / size, (size - 1) / 2
    return window.center_x + (x - middle) * scale, window.center_y + (y - middle) * scale


def image_to_window(x: float, y: float, window: Window, size: int = 32) -> tuple[float, float]:
    """Image coordinates -> window coordinates (see the convention above)."""
    scale, middle = window.side_px / size, (size - 1) / 2
    return (x - window.center_x) / scale + middle, (y - window.center_y) / scale + middle


def window_camera(k: NDArray[np.float64], window: Window, size: int = 32) -> NDArray[np.float64]:
    """Intrinsics (3x3) of the camera that sees only the window, from those of the whole image."""
    k = np.asarray(k, dtype=np.float64)
    if k.shape != (3, 3):
        raise ParameterError(f"camera matrix must be 3x3, got shape {k.shape}")
    scale, middle = window.side_px / size, (size - 1) / 2
    to_window = np.array(
        [
            [1 / scale, 0.0, middle - window.center_x / scale],
            [0.0, 1 / scale, middle - window.center_y / scale],
            [0.0, 0.0, 1.0],
        ]
    )
    return to_window @ k


def has_reading(depth_m: Floats) -> Mask:
    """Where depth is a finite number above 0."""
    return (depth_m > 0) & (depth_m < np.inf)  # comparisons with NaN are false


def check_range(range_m: float) -> None:
    """Raise ParameterError unless it is a range that depth values can span."""
    if not (math.isfinite(range_m) and range_m > 0):
        raise ParameterError(f"depth range {range_m} m cannot be used; it must be finite and above 0")
