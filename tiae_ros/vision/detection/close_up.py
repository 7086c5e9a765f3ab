"""The second look: a square of constant metres around a supposed hand, turned so that its arm comes from below.

The network tells, of each cell: nothing, hand, held thing, arm; of the whole: whether a hand is in its middle, whether
it is a left one, where its middle lies and where its arm comes from.

Planes: red, green, blue (-0.5 to 0.5; 0 without colour), depth from the crop's reference in units of 0.15 m (-1 to 1),
whether depth was read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import Floats, Picture
from tiae_ros.vision.window import has_reading

CELLS = 96
SIDE_M = 0.40
PLANES = 5
CLASSES = 4  # nothing (or another's), hand, held, arm or sleeve
FACTS = 6  # is a hand, is a left one (logits), middle x and y (of half a side), cosine and sine of the arm's direction
DEPTH_UNIT_M = 0.15
FAR_FACTOR = 1.45  # readings farther from the supposed depth than this are the background's, or something's before it
CORE_M = 0.035  # radius around the supposed middle whose readings tell the depth


@dataclass(frozen=True)
class Crop:
    """A square of the picture; cell (u, v): ``(x, y) + side_px / cells * rotation @ ((u, v) - (cells - 1) / 2)``."""

    x: float
    y: float
    side_px: float
    arm: tuple[float, float]  # unit direction in the picture that comes to lie downwards
    depth_m: float
    cells: int = CELLS

    @property
    def to_picture(self) -> NDArray[np.float64]:
        """(2, 3): cell (u, v, 1) -> pixel."""
        step = self.side_px / self.cells
        c, s = self.arm[1] * step, self.arm[0] * step  # of the rotation that takes (0, 1) to the arm's direction
        middle = (self.cells - 1) / 2
        return np.array([[c, s, self.x - (c + s) * middle], [-s, c, self.y - (c - s) * middle]])

    def pixel(self, u: float, v: float) -> tuple[float, float]:
        x, y = self.to_picture @ (u, v, 1.0)
        return float(x), float(y)

    def direction(self, x: float, y: float) -> tuple[float, float]:
        """A direction of the crop in the picture."""
        return x * self.arm[1] + y * self.arm[0], -x * self.arm[0] + y * self.arm[1]


def crop_at(x: float, y: float, arm: tuple[float, float], supposed_m: float, depth_m: Floats, focal_px: float) -> Crop:
    """The crop around a supposed hand; its depth is that of plausible readings near its middle, or the supposed one."""
    radius = max(2, round(CORE_M * focal_px / supposed_m))
    row, column = round(y), round(x)
    rows, columns = (slice(max(0, at - radius), max(0, at + radius + 1)) for at in (row, column))
    step = max(1, radius // 12)
    readings = depth_m[rows, columns][::step, ::step]
    readings = readings[has_reading(readings)]
    near = readings[(readings > supposed_m / FAR_FACTOR) & (readings < supposed_m * FAR_FACTOR)]
    depth = float(np.median(near)) if near.size >= 4 else supposed_m
    return Crop(x, y, SIDE_M * focal_px / depth, arm, depth)


def crop_pictures(color: Picture | None, depth_m: Floats, crop: Crop) -> tuple[Picture | None, Floats]:
    """Colour (CELLS, CELLS, 3) and depth (CELLS, CELLS), NaN outside the picture and where nothing was read."""
    way, size = crop.to_picture, (crop.cells, crop.cells)
    depth = cv2.warpAffine(
        depth_m,
        way,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=math.nan,
    )
    if color is None:
        return None, depth
    if crop.side_px > 2.2 * crop.cells:  # cells are means, not samples: first reduce the part that is looked at
        half, factor = 0.75 * crop.side_px, round(crop.side_px / crop.cells)
        left, top = max(0, int(crop.x - half)), max(0, int(crop.y - half))
        part = color[top : max(top + 1, int(crop.y + half)), left : max(left + 1, int(crop.x + half))]
        if part.size:  # by a whole number, which is far quicker
            factor = min(factor, max(part.shape[:2]))
            rows, columns = -(-part.shape[0] // factor), -(-part.shape[1] // factor)
            beyond = rows * factor - part.shape[0], columns * factor - part.shape[1]
            part = cv2.copyMakeBorder(part, 0, beyond[0], 0, beyond[1], cv2.BORDER_REPLICATE)
            color = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
            way = way / factor
            way[:, 2] += (0.5 - np.array([left, top])) / factor - 0.5
    shown = cv2.warpAffine(
        color, way, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return shown, depth


def planes_of(color: Picture | None, depth_m: Floats, reference_m: float) -> Floats:
    """(5, CELLS, CELLS)."""
    read = has_reading(depth_m)
    planes = np.zeros((PLANES, *depth_m.shape), np.float32)
    if color is not None:
        planes[:3] = color.transpose(2, 0, 1)
        planes[:3] *= np.float32(1 / 255)
        planes[:3] -= np.float32(0.5)
    off = (np.where(read, depth_m, np.float32(reference_m)) - np.float32(reference_m)) * np.float32(1 / DEPTH_UNIT_M)
    planes[3] = np.clip(off, -1, 1)
    planes[4] = read
    return planes
