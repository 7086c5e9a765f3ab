"""Labelled frames drawn by hand: labels (H, W) and depth (H, W) in metres."""

from __future__ import annotations

import numpy as np


def wall(height: int = 240, width: int = 320, depth: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Nothing labelled, a wall behind everything."""
    return np.zeros((height, width), np.uint8), np.full((height, width), depth, np.float32)


def fist_holding_a_bar(x: int = 150, y: int = 110) -> tuple[np.ndarray, np.ndarray]:
    """At a focal length of 300 px a fist of 8 cm with a bar of 12 cm, at 0.5 m; (x, y) is the fist's corner."""
    labels, depth = wall()
    labels[y - 12 : y + 60, x + 20 : x + 30] = 2
    labels[y : y + 48, x : x + 48] = 1
    depth[labels > 0] = 0.5
    return labels, depth


def moved(image: np.ndarray, dx: int, dy: int, fill: float) -> np.ndarray:
    """The image moved by (dx, dy) pixels."""
    result = np.full_like(image, fill)
    height, width = image.shape[:2]
    result[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = image[
        max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)
    ]
    return result


def iou(found: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((found & true).sum() / max(1, (found | true).sum()))
