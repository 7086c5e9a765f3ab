"""Which cells of what the segmentation network says may count: of hands large and sure enough, and what these touch."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import Floats, Mask
from tiae_ros.vision.segmentation.settings import SegmentationSettings

LENIENCE = math.log(3)  # from the score of nothing, once there is a hand: a cell counts that is a third as likely
_SHOWN_SHARE = 0.8  # of the least area of a hand, for what the network leaves of one where depth is bad
_TOUCH_CELLS = 2
_FOLLOWED_CELLS = 10  # a finger's length at arm's length; beyond, a half-sure wall would be followed to its end


class Regions:
    """The parts of a mask that hang together, numbered from 1; 0 is what is outside it."""

    def __init__(self, mask: Mask) -> None:
        self.count, self.numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        self._flat = self.numbers.ravel()
        self.cells = np.bincount(self._flat, minlength=self.count)

    def sums(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Of values (H, W) over each region."""
        return np.bincount(self._flat, weights=values.ravel(), minlength=self.count).astype(np.float64, copy=False)

    def at_least(self, area: Floats, smallest: float) -> Mask:
        """By number, which regions have that area; cells without one (0) count as the mean of the region's others."""
        large: Mask = self.sums(area) * self.cells >= smallest * np.maximum(self.sums(area > 0), 1)
        large[0] = False
        return large

    def touching(self, mask: Mask) -> Mask:
        """By number, which regions share a cell with a mask."""
        return np.bincount(self.numbers[mask], minlength=self.count) > 0


def plausible_cells(
    scores: Floats,
    depth: Floats,
    focal_cells: float,
    settings: SegmentationSettings,
) -> Mask:
    """Cells that may count, by scores (3, H, W): of a hand large and sure enough, and of the things that touch it.

    Whether there is a hand is told by cells that are rather hand than nothing. Of one that is sure, what hangs together
    with it counts by `LENIENCE` already, as Canny (1986) follows edges: where depth is bad, fingers are half sure.

    Args:
        depth: (H, W) metres, 0 where there is none.
    """
    kept = np.zeros(depth.shape, np.bool_)
    likely = (np.maximum(scores[1], scores[2]) > scores[0] - LENIENCE) & (depth <= settings.depth_max_m)
    left, top, width, height = cv2.boundingRect(likely.astype(np.uint8))
    part = slice(top, top + height), slice(left, left + width)  # the rest of the picture is nothing
    likely, depth = likely[part], depth[part]
    none, first, second = scores[(slice(None), *part)]
    looks_hand = likely & (first >= second)
    hand = looks_hand & (first > none)
    if not hand.any():
        return kept
    area = np.square(depth * np.float32(1 / focal_cells))
    regions = Regions(hand)
    chosen = regions.at_least(area, _SHOWN_SHARE * settings.hand_area_min_m2)
    if not chosen.any():
        return kept
    odds = np.exp(np.stack([plane[hand] for plane in (none, first, second)]) - first[hand])  # of each against hand
    certainty = np.bincount(regions.numbers[hand], 1 / odds.sum(axis=0), regions.count) / np.maximum(regions.cells, 1)
    chosen &= certainty >= settings.hand_certainty_min
    if not chosen.any():
        return kept
    sure = chosen[regions.numbers]
    whole = Regions(looks_hand & _widened(sure, _FOLLOWED_CELLS))
    hand = whole.touching(sure)[whole.numbers]
    things = Regions(likely & (second > first))
    beside = _widened(hand, _TOUCH_CELLS)
    held = (things.at_least(area, settings.object_area_min_m2) & things.touching(beside))[things.numbers]
    kept[part] = hand | held
    return kept


def _widened(mask: Mask, cells: int) -> Mask:
    side = 2 * cells + 1
    wide: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return wide
