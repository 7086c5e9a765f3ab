"""The first look: where hands may be, over the whole picture, cheap and generous.

    reduce to a grid of cells -> 6 planes -> network -> per block of 8 x 8 cells: score, place, arm's direction, length
    -> local maxima

Planes: red, green, blue (-0.5 to 0.5; 0 without colour), how many cells a hand would be long at this depth / 64,
whether depth was read, how far a cell lies before (-) or behind (+) its surroundings (by the logarithm of the depth).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import Floats, Picture
from tiae_ros.vision.window import has_reading

GRID = 256  # cells along the longer side of a picture
BLOCK = 8  # cells to an answer
PAD = 16  # the network takes grids of a multiple of it
PLANES = 6
ANSWERS = 7  # score, x and y within the block, cosine and sine of the arm's direction, log length, area
HAND_M = 0.18  # a grown hand from wrist to fingertip
SURROUNDINGS = 31  # cells
_RELIEF_GAIN = 4.0
_USUAL_LENGTH = 32.0  # cells; the network tells the logarithm of the length over this


@dataclass(frozen=True)
class Proposal:
    """Where a hand may be, in pixels of the picture (centres at integers)."""

    x: float
    y: float
    length_px: float  # as long as a grown hand would be there
    arm: tuple[float, float]  # unit direction from the hand to its arm, x right, y down
    score: float  # 0..1, not calibrated
    depth_m: float  # by its length


@dataclass(frozen=True)
class Grid:
    """A picture reduced to cells."""

    planes: Floats  # (6, h, w)
    cell_px: tuple[float, float]  # of a cell, x and y
    focal_px: float

    @property
    def padded(self) -> Floats:
        """(1, 6, H, W), H and W multiples of `PAD`."""
        height, width = self.planes.shape[1:]
        planes = np.zeros((1, PLANES, -(-height // PAD) * PAD, -(-width // PAD) * PAD), np.float32)
        planes[0, :, :height, :width] = self.planes
        return planes


def grid_of(color: Picture | None, depth_m: Floats, focal_px: float) -> Grid:
    """Planes of a picture (H, W, 3), or of its depth (H, W) alone."""
    height, width = depth_m.shape
    scale = GRID / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    depth = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
    small = None if color is None else reduced(color, size)
    return Grid(planes_of(small, depth, focal_px * size[0] / width), (width / size[0], height / size[1]), focal_px)


def reduced(color: Picture, size: tuple[int, int]) -> Picture:
    """A picture of that width and height whose pixels are about the means of areas.

    Where a whole number divides the picture, it is reduced by that first, which is far quicker, and hardly blurs.
    """
    height, width = color.shape[:2]
    most = min(width // size[0], height // size[1])
    factor = next((n for n in range(most, 1, -1) if height % n == 0 and width % n == 0), 1)
    if factor > 1:
        color = cv2.resize(color, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return cv2.resize(color, size, interpolation=cv2.INTER_AREA)


def planes_of(color: Picture | None, depth_m: Floats, focal_cells: float) -> Floats:
    """(6, h, w) of cells' colours (h, w, 3) and depths (h, w); `focal_cells` in cells."""
    read = has_reading(depth_m)
    depth = np.where(read, depth_m, np.float32(1.0))
    planes = np.zeros((PLANES, *depth_m.shape), np.float32)
    if color is not None:
        planes[:3] = color.transpose(2, 0, 1)
        planes[:3] *= np.float32(1 / 255)
        planes[:3] -= np.float32(0.5)
    shown = read.astype(np.float32)
    planes[3] = np.minimum(np.float32(focal_cells * HAND_M / 64) / np.maximum(depth, np.float32(0.1)), np.float32(2.0))
    planes[3] *= shown
    planes[4] = shown
    planes[5] = relief(np.log(depth), shown, SURROUNDINGS)
    return planes


def relief(log_depth: Floats, shown: Floats, cells: int) -> Floats:
    """How far each cell lies behind the mean of its surroundings, -1..1; 0 where nothing was read."""
    mean = cv2.blur(log_depth * shown, (cells, cells)) / np.maximum(cv2.blur(shown, (cells, cells)), np.float32(1e-3))
    result: Floats = np.clip((log_depth - mean) * np.float32(_RELIEF_GAIN), -1, 1) * shown
    return result


def proposals_of(answers: Floats, grid: Grid, least_score: float, most: int) -> list[Proposal]:
    """The local maxima of a network's answers (7, h, w), best first."""
    score = 1 / (1 + np.exp(-np.clip(answers[0], -40, 40)))
    peak = (score >= cv2.dilate(score, np.ones((3, 3), np.uint8))) & (score >= least_score)
    rows, columns = np.nonzero(peak)
    order = np.argsort(-score[rows, columns], kind="stable")[:most]
    found = []
    for row, column in zip(rows[order], columns[order], strict=True):
        _, dx, dy, cosine, sine, log_length, _ = (float(value) for value in answers[:, row, column])
        x = (column + 0.5 + dx) * BLOCK * grid.cell_px[0] - 0.5
        y = (row + 0.5 + dy) * BLOCK * grid.cell_px[1] - 0.5
        length = _USUAL_LENGTH * math.exp(min(max(log_length, -3.0), 3.0)) * grid.cell_px[0]
        norm = math.hypot(cosine, sine)
        arm = (cosine / norm, sine / norm) if norm > 1e-6 else (0.0, 1.0)
        found.append(Proposal(x, y, length, arm, float(score[row, column]), grid.focal_px * HAND_M / length))
    return found


def log_length(length_cells: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """What the network is to tell of a hand so many cells long."""
    return np.log(np.asarray(length_cells, float) / _USUAL_LENGTH)
