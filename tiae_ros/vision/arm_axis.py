"""Which end of a region of skin is the hand, and where the arm enters the picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import Mask

_TIP_SIDE_M = 0.02  # the tip is as much of the hand, farthest from the arm, as a square of this side
_STRAIGHT_SHARE = 0.5
_STRIP = 16


def bounding_box(mask: Mask | NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """top, left, bottom, right (exclusive) of what is set (or not 0), None when nothing is."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (top, left, top + height, left + width) if width else None


def cells_of(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of what is set, as `numpy.nonzero` gives them, in a third of the time."""
    found = cv2.findNonZero(mask.view(np.uint8))
    if found is None:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    xs, ys = found.reshape(-1, 2).T.astype(np.intp)  # OpenCV 4 has (N, 1, 2), 5 has (N, 2)
    return ys, xs


def picture_edges(depth_m: NDArray[np.float32], nearest_m: float = 0.0) -> tuple[int, int, int, int]:
    """top, left, bottom, right of the part of a picture in which the camera has readings (above the nearest, finite).

    Strips along the border without a single reading (from rectification, registration or a moved picture) are
    not part of what the camera sees, so an arm that ends there enters the picture there. An outline
    that is not straight along a good part of the box is that of a thing in front of nothing, and no edge.
    """

    def read(part: NDArray[np.float32]) -> Mask:
        return (part > nearest_m) & (part < np.inf)

    def straight(strip: NDArray[np.float32], axis: int) -> bool:
        return bool(read(strip).any(axis=axis).mean() >= _STRAIGHT_SHARE)

    def reaches(side: int) -> int | None:
        """The box's top, left, bottom or right (0 to 3), strip by strip from that side: most of it is not read."""
        length = depth_m.shape[side % 2]
        start, breadth = 0, 1  # most pictures have readings along the border itself
        while start < length:
            strip = slice(start, start + breadth)
            if side >= 2:
                strip = slice(max(0, length - start - breadth), length - start)
            box = bounding_box(read(depth_m[strip] if side % 2 == 0 else depth_m[:, strip]))
            if box is not None:
                return strip.start + box[side]
            start, breadth = start + breadth, _STRIP
        return None

    height, width = depth_m.shape
    top, left, bottom, right = (reaches(side) for side in range(4))
    if top is None or left is None or bottom is None or right is None:
        return 0, 0, height, width
    part = depth_m[top:bottom, left:right]
    return (
        top if top and straight(part[:2], 0) else 0,
        left if left and straight(part[:, :2], 1) else 0,
        bottom if bottom < height and straight(part[-2:], 0) else height,
        right if right < width and straight(part[:, -2:], 1) else width,
    )


def tip_and_entry(
    xs: NDArray[np.intp],
    ys: NDArray[np.intp],
    px_per_m: float,
    edges: tuple[int, int, int, int],
    origin: tuple[int, int],
    contact: tuple[float, float] | None = None,
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """The end of the hand away from the arm, and where the arm enters the picture (None: it does not).

    ``contact`` is where the hand touches something, if it does; ``origin`` (row, column) places the coordinates
    in the picture whose ``edges`` are given.
    """
    top, left, bottom, right = edges
    margin = max(2.0, 0.01 * px_per_m)
    x, y = xs + origin[1], ys + origin[0]
    at_edge = (x < left + margin) | (x > right - 1 - margin) | (y < top + margin) | (y > bottom - 1 - margin)
    # An arm is more than 3 cm wide; less is a finger tip or a speck.
    if at_edge.sum() >= max(1.0, margin * 0.03 * px_per_m):
        entry = (float(xs[at_edge].mean()), float(ys[at_edge].mean()))
        return far_end(xs, ys, entry, px_per_m), entry
    # An arm that ends inside the picture: the hand is the end that touches something, or the more spread one.
    first = far_end(xs, ys, (float(xs.mean()), float(ys.mean())), px_per_m)
    ends = [first, far_end(xs, ys, first, px_per_m)]
    if contact is not None:
        return min(ends, key=lambda end: math.dist(end, contact)), None
    return max(ends, key=lambda end: _spread(xs, ys, end, 0.08 * px_per_m)), None


def far_end(
    xs: NDArray[np.intp], ys: NDArray[np.intp], start: tuple[float, float], px_per_m: float
) -> tuple[float, float]:
    """Mean of the pixels farthest from a point."""
    distance = (xs - start[0]) ** 2 + (ys - start[1]) ** 2
    count = min(len(xs), max(1, int((_TIP_SIDE_M * px_per_m) ** 2)))
    far = np.argpartition(distance, len(distance) - count)[len(distance) - count :]
    return float(xs[far].mean()), float(ys[far].mean())


def _spread(xs: NDArray[np.intp], ys: NDArray[np.intp], end: tuple[float, float], radius_px: float) -> float:
    """How far the pixels around an end lie from their mean."""
    near = (xs - end[0]) ** 2 + (ys - end[1]) ** 2 <= radius_px**2
    return float(xs[near].std() + ys[near].std()) if near.any() else 0.0
