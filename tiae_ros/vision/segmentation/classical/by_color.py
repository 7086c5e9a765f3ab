"""Hands by the colour of skin alone, for pictures without depth.

    reduce to a grid of cells -> skin (`skin_score`, by the threshold that parts the picture best)
    -> regions with a palm in them -> how far away a hand of that size is

What a hand holds cannot be told from what lies behind it, and a face is a hand to it. A region's size says how far it
is away: the largest circle in a hand, across its palm or fist, has a radius of about 2.2 cm (measured on the recorded
bag of the tests: 1.8 to 2.3 cm over 18 grasps).
"""

from __future__ import annotations

import cv2
import numpy as np

from tiae_ros.vision.labels import HAND, Floats, Labels, Picture
from tiae_ros.vision.masks import distance_inside
from tiae_ros.vision.segmentation.classical.segment import best_threshold, skin_score
from tiae_ros.vision.segmentation.settings import SegmentationSettings

_PALM_RADIUS_M = 0.022
_LEAST_RADIUS = 2.5  # cells; a smaller patch of skin is noise
_MOST_SHARE = 0.5  # of the picture; what is larger is a wall of wood, or no hand that one could tell anything of
_MOST_HANDS = 2
_NEAREST_M = 0.1


def hands_by_color(color: Picture, settings: SegmentationSettings, focal_px: float) -> tuple[Labels, Floats]:
    """Labels (H, W) of hands, and depth (H, W) in metres as their sizes suggest, NaN elsewhere.

    color: rgb (H, W, 3) uint8.
    """
    height, width = color.shape[:2]
    cell = max(1.0, max(height, width) / settings.grid_long_side)
    size = (max(1, round(width / cell)), max(1, round(height / cell)))
    score = skin_score(cv2.resize(color, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
    skin = (score > best_threshold(score.ravel(), settings)).astype(np.uint8)
    skin = cv2.morphologyEx(skin, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(np.uint8)
    thickness = distance_inside(skin > 0, aperture=5)
    number, regions = cv2.connectedComponents(skin)
    radii = [float(thickness[regions == region].max()) for region in range(1, number)]
    order = sorted(range(len(radii)), key=lambda index: -radii[index])
    labels = np.zeros((height, width), np.uint8)
    depth_m = np.full((height, width), np.nan, np.float32)
    for index in order[:_MOST_HANDS]:
        region = regions == index + 1
        distance_m = _PALM_RADIUS_M * focal_px / (radii[index] * cell)
        if radii[index] < _LEAST_RADIUS or region.mean() > _MOST_SHARE:
            continue
        if not _NEAREST_M <= distance_m <= settings.depth_max_m:
            continue
        outline = cv2.resize(region.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        labels[outline] = HAND
        depth_m[outline] = distance_m
    return labels, depth_m
