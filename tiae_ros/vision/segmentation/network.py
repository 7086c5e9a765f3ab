"""Hand, held thing or nothing, by a small network from colour and registered depth.

    reduce to a grid of cells -> 9 planes of colour, depth and scale -> U-Net -> class of each cell
    -> regions too small or too unsure for a hand are dropped -> what touches the rest -> labels at full resolution

The network itself is a graph of a model folder, which `tiae_ros.model.segmenter` opens; here, any function of planes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from tiae_ros.errors import ModelError
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels, Mask, Picture, check_images
from tiae_ros.vision.segmentation.planes import INPUTS, cell_colors, cell_depths, planes_of
from tiae_ros.vision.segmentation.regions import LENIENCE, plausible_cells
from tiae_ros.vision.segmentation.settings import STRIDE, SegmentationSettings, usable_focal_px
from tiae_ros.vision.sight import Segmentation


class NetworkSegmentation(Segmentation):
    """A segmentation network, ready to be called.

    Attributes:
        name: "network", its model id and its precision, e.g. "network segmentation (int8)".
    """

    def __init__(self, graph: Callable[[Floats], list[Floats]], name: str) -> None:
        """Args:
        graph: planes (1, 9, H, W), H and W multiples of `STRIDE` -> class scores (1, 3, H, W).
        name: for people and diagnostics.
        """
        self.name = name
        self._graph = graph

    def scores(self, planes: Floats) -> Floats:
        """Planes (9, H, W) of one picture -> class scores (3, H, W).

        Raises:
            ModelError: a score is not finite.
        """
        height, width = planes.shape[1:]
        padded = np.zeros((1, INPUTS, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE), np.float32)
        padded[0, :, :height, :width] = planes
        scores = self._graph(padded)[0][0, :, :height, :width]
        if not math.isfinite(scores.sum()):
            raise ModelError(f"segmentation {self.name} gave a number that is not finite")
        return scores

    def segment(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """Labels (H, W): 0 none, 1 hand, 2 what it holds; with depth alone, too, they are told apart.

        Args:
            color: rgb (H, W, 3) uint8, or None to go by depth alone.
            depth_m: registered depth (H, W) float32 metres, NaN (or anything not above 0) where there is none.
            settings: the grid, the least certainty, the limits of size and depth; what concerns skin is not used.
            focal_px: focal length of the picture; without one, that of a usual camera is assumed.

        Raises:
            ImageError: colour and depth are not of one size, or not images at all.
            ModelError: the network gave a number that is not finite.
        """
        settings = settings or SegmentationSettings()
        check_images(color, depth_m)
        longer = max(depth_m.shape)
        focal = usable_focal_px(focal_px, longer)
        cell = min(max(1, round(longer / settings.grid_long_side)), *depth_m.shape)
        labels = np.zeros(depth_m.shape, np.uint8)
        depth = cell_depths(depth_m, cell)
        if not (depth > 0).any():
            return labels
        small = cell_colors(color, cell) if color is not None else None
        scores = self.scores(planes_of(small, depth, focal / cell))
        kept = plausible_cells(scores, depth, focal / cell, settings)
        _enlarge(scores, kept, cell, labels)
        return labels


def _enlarge(scores: Floats, kept: Mask, cell: int, labels: Labels) -> None:
    """Scores of cells (3, H, W) -> labels of pixels, which were 0; outlines run where these and LENIENCE say."""
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    if not len(rows):
        return
    top, bottom = max(0, rows[0] - 1), min(kept.shape[0], rows[-1] + 2)
    left, right = max(0, columns[0] - 1), min(kept.shape[1], columns[-1] + 2)
    part = scores[:, top:bottom, left:right].copy()
    part[0] -= np.float32(LENIENCE)
    inside = cv2.dilate(kept[top:bottom, left:right].astype(np.uint8), np.ones((3, 3), np.uint8))
    shares = np.exp(part - part.max(axis=0))
    shares *= np.float32(255) * inside / shares.sum(axis=0)
    levels = shares.astype(np.uint8)
    levels[0][inside == 0] = 255
    size = ((right - left) * cell, (bottom - top) * cell)
    none, hand, held = (cv2.resize(level, size, interpolation=cv2.INTER_LINEAR) for level in levels)
    first = np.logical_and(hand > none, hand >= held)
    second = np.logical_and(held > none, held > hand)
    target = labels[top * cell : bottom * cell, left * cell : right * cell]
    np.add(HAND * first.view(np.uint8), OBJECT * second.view(np.uint8), out=target)
