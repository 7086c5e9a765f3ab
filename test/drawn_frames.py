"""Frames with their truth drawn by hand: what `tiae_training.detection` learns from, without a renderer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiae_training.world.shards import StoredFrame

FOCAL = 400.0
WALL_M = 1.5
HAND, HELD, ARM = 1, 2, 3


def hand_frame(
    x: float = 240.0,
    y: float = 180.0,
    depth_m: float = 0.6,
    *,
    left: bool = False,
    holds: bool = True,
    shown: float = 1.0,
    size: tuple[int, int] = (360, 480),
    seed: int = 0,
) -> StoredFrame:
    """A skin-coloured square of 8 cm with its arm below it; what it holds lies above, the thumb to one side."""
    rng = np.random.default_rng(seed)
    color = rng.integers(60, 90, (*size, 3)).astype(np.uint8)
    depth = np.full(size, WALL_M, np.float32)
    labels, owner = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    unit = FOCAL / depth_m / 100  # a centimetre

    def draw(x0: float, y0: float, x1: float, y1: float, label: int, paint: Sequence[int]) -> None:
        rows = slice(max(0, round(y + y0 * unit)), max(0, round(y + y1 * unit)))
        columns = slice(max(0, round(x + x0 * unit)), max(0, round(x + x1 * unit)))
        color[rows, columns], depth[rows, columns] = paint, depth_m
        labels[rows, columns], owner[rows, columns] = label, 1

    draw(-3, 4, 3, 30, ARM, (190, 130, 100))
    if holds:
        draw(-7, -7, 7, -4, HELD, (40, 60, 200))
    draw(-4, -4, 4, 4, HAND, (210, 150, 120))
    draw(*((4, -1, 7, 1) if left else (-7, -1, -4, 1)), HAND, (210, 150, 120))
    seen = int(shown * (labels == HAND).sum())
    return StoredFrame(color, depth, None, labels, owner, FOCAL, hand_rows([(x, y, 0.0, 1.0, depth_m, left, seen)]))


def hand_rows(hands: Sequence[tuple[float, float, float, float, float, bool, int]]) -> dict[str, np.ndarray]:
    """Columns of the truth: (x, y, arm x, arm y, distance, left, pixels shown) of each hand, numbered from 0."""
    table = np.array(hands, float).reshape(-1, 7)
    return {
        "number": np.arange(len(table)),
        "left": table[:, 5] > 0,
        "size_m": np.full(len(table), 0.18),
        "middle_px": table[:, :2],
        "arm_px": table[:, 2:4],
        "distance_m": table[:, 4],
        "shown_px": table[:, 6].astype(int),
        "joints": np.zeros((len(table), 25)),
        "tips_mm": np.zeros((len(table), 5, 3)),
        "view": np.tile([0.0, 0.0, 1.0], (len(table), 1)),
        "grasp": np.array(["cup"] * len(table)),
        "person": np.arange(len(table)) + 7,
    }


def empty_frame(seed: int = 0, size: tuple[int, int] = (360, 480)) -> StoredFrame:
    """A wall with a box before it, nobody's hand."""
    rng = np.random.default_rng([seed, 1])
    color = rng.integers(60, 90, (*size, 3)).astype(np.uint8)
    depth = np.full(size, WALL_M, np.float32)
    x, y = rng.integers(60, size[1] - 120), rng.integers(60, size[0] - 120)
    color[y : y + 60, x : x + 90], depth[y : y + 60, x : x + 90] = (90, 160, 90), 0.7
    nothing = np.zeros(size, np.uint8)
    return StoredFrame(color, depth, None, nothing, nothing.copy(), FOCAL, {})
