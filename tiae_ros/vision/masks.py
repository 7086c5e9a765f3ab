"""Shapes of masks: growing, closing, thickness, bounding boxes, means of a picture over a mask. By OpenCV, on views."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.arm_axis import bounding_box
from tiae_ros.vision.labels import Floats, Mask

Part = tuple[slice, slice]


def grown(mask: Mask, radius: int) -> Mask:
    """The mask and all within so many cells of it, along rows and columns alike."""
    return _reshaped(mask, radius, cv2.dilate)


def shrunk(mask: Mask, radius: int) -> Mask:
    """The mask without all within so many cells of what is not mask; beyond the array is neither."""
    return _reshaped(mask, radius, cv2.erode)


def _reshaped(mask: Mask, radius: int, operation: Callable[..., Any]) -> Mask:
    """A morphological operation on the part of the array that the mask and its surroundings occupy."""
    result: Mask = np.zeros(mask.shape, np.bool_)
    part = part_around(mask, radius)
    if part is not None:
        result[part] = operation(mask[part].view(np.uint8), square(radius)).view(np.bool_)
    return result


def closed(mask: Mask, radius: int) -> Mask:
    """The mask with its gaps up to twice the radius filled."""
    return shrunk(grown(mask, radius), radius)


@functools.lru_cache(maxsize=64)
def square(radius: int) -> NDArray[np.uint8]:
    """The kernel that reaches so many cells along rows and columns alike."""
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def part_around(mask: Mask, margin: int = 0) -> Part | None:
    """Rows and columns of a mask's bounding box with a margin, within the picture; None when nothing is set."""
    box = bounding_box(mask)
    if box is None:
        return None
    top, left, bottom, right = box
    height, width = mask.shape
    return (
        slice(max(0, top - margin), min(height, bottom + margin)),
        slice(max(0, left - margin), min(width, right + margin)),
    )


def distance_inside(mask: Mask, aperture: int = 3) -> Floats:
    """How far each cell of a mask lies inside its outline, in cells; outside the array is not mask.

    aperture: of OpenCV's distance transform, 3 or 5; 5 is more exact.
    """
    rimmed = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return cv2.distanceTransform(rimmed, cv2.DIST_L2, aperture)[1:-1, 1:-1].astype(np.float32, copy=False)


def half_thickness(mask: Mask) -> float:
    """Radius of the largest circle that fits into a mask, in cells; outside the array is not mask."""
    return float(distance_inside(mask).max())


def means_around(
    color: NDArray[np.uint8], mask: Mask, radius: int, ys: NDArray[np.intp], xs: NDArray[np.intp]
) -> tuple[Floats, Mask]:
    """Mean colour (N, 3) over a mask's cells in the square around each of N cells, and (N,) where there are any."""
    if len(ys):  # the sums are made around the cells only
        rows = slice(max(0, int(ys.min()) - radius), int(ys.max()) + radius + 1)
        columns = slice(max(0, int(xs.min()) - radius), int(xs.max()) + radius + 1)
        color, mask, ys, xs = color[rows, columns], mask[rows, columns], ys - rows.start, xs - columns.start
    height, width = mask.shape
    top, bottom = np.maximum(ys - radius, 0), np.minimum(ys + radius + 1, height)
    left, right = np.maximum(xs - radius, 0), np.minimum(xs + radius + 1, width)
    corners = tuple(row * (width + 1) + column for row in (top, bottom) for column in (left, right))
    shown = mask.view(np.uint8)
    all_bits = np.negative(shown)  # 1 -> 255
    count = _sums(cv2.integral(shown).reshape(-1, 1), *corners)
    total = _sums(cv2.integral(cv2.bitwise_and(color, cv2.merge([all_bits] * 3))).reshape(-1, 3), *corners)
    return (total / np.maximum(count, 1)).astype(np.float32), count[:, 0] > 0


def _sums(
    integral: NDArray[Any],
    top_left: NDArray[np.intp],
    top_right: NDArray[np.intp],
    bottom_left: NDArray[np.intp],
    bottom_right: NDArray[np.intp],
) -> NDArray[Any]:
    """Sums over boxes from a summed-area table."""
    take = integral.take
    sums: NDArray[Any] = take(bottom_right, 0) - take(bottom_left, 0) - take(top_right, 0) + take(top_left, 0)
    return sums
