"""Depth as poor sensors read it, of pictures whose colour stays as it is: there, colour has to tell where the hand is.

Depth is (h, w) float32 metres, 0 where nothing was read. What is given is not changed.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray


def block_matched(depth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """As block matchers see: fingers grow together or vanish, outlines are coarse, a broad shadow lies to one side."""
    side = int(rng.choice([3, 5, 7, 11, 15]))
    kernel = np.ones((side, side), np.uint8)
    farthest = np.float32(99)
    near = np.where(depth > 0, depth, farthest)
    if rng.random() < 0.7:  # the nearer surface spreads, and gaps close
        seen = cv2.erode(near, kernel)
        if rng.random() < 0.5:
            seen = cv2.dilate(seen, kernel)
    else:  # what is thinner than the window is lost to what lies behind
        seen = cv2.dilate(np.where(near < farthest, near, np.float32(0)), kernel)
        seen = cv2.erode(np.where(seen > 0, seen, farthest), kernel)
    seen = cv2.medianBlur(seen, 5)
    reach = int(rng.integers(5, 26))
    anchor = (0 if rng.random() < 0.5 else reach - 1, 0)
    # A shadow is as broad as the step is high: what is nearest around tells how far it reaches.
    beside = cv2.erode(seen, np.ones((1, reach), np.uint8), anchor=anchor)
    seen[seen > beside + np.float32(rng.uniform(0.05, 0.3))] = 0
    return np.where((seen < farthest) & (depth > 0), seen, np.float32(0)).astype(np.float32)


def without_parts_of_the_hand(
    depth: NDArray[np.float32], hand: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Holes on the hand, or it all at the depth of what lies around: colour has to tell."""
    rows, columns = np.nonzero(hand)
    if not len(rows):
        return depth
    depth = depth.copy()
    if rng.random() < 0.2:
        around = depth[~hand & (depth > 0)]
        depth[hand] = np.median(around) if len(around) and rng.random() < 0.5 else 0
        return depth
    reach = max(2, round(0.4 * math.sqrt(len(rows))))
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(rows)))
        axes = (int(rng.integers(1, reach + 1)), int(rng.integers(1, reach + 1)))
        cv2.ellipse(depth, (int(columns[place]), int(rows[place])), axes, float(rng.uniform(0, 180)), 0, 360, 0, -1)
    return depth


def poor_depth(depth: NDArray[np.float32], hand: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Depth of a matcher of large windows, or with parts of the hand gone, or both; it stays where the colour is."""
    kind = int(rng.integers(3))
    if kind != 1:
        depth = block_matched(depth, rng)
    return depth if kind == 0 else without_parts_of_the_hand(depth, hand, rng)


def lingering(depth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """As filters over time leave it: where something near was a moment before, its depth is still read."""
    height, width = depth.shape
    farthest = np.float32(99)
    now = np.where(depth > 0, depth, farthest)
    reach, turn = rng.uniform(0.03, 0.25) * width, rng.uniform(0, 2 * math.pi)
    seen = now
    places = int(rng.integers(2, 6))
    for number in range(1, places + 1):
        x, y = (reach * number / places * part for part in (math.cos(turn), math.sin(turn)))
        way = np.array([[1, 0, x], [0, 1, y]], np.float32)
        before = cv2.warpAffine(now, way, (width, height), flags=cv2.INTER_NEAREST, borderValue=float(farthest))
        seen = np.minimum(seen, before)
    return np.where(seen < farthest, seen, np.float32(0)).astype(np.float32)
