"""Windows of what is no hand, made of windows of hands: what a wrong detection may show.

things     the held thing stands where the hand was, as if it were taken for one
shapes     ellipses, boxes and bars that lean and bend, some with another thing beside them
scraps     the window's quarters, each turned and in another's place
swapped    the hand as a thing, the thing as a hand
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.imitation.human_hand import FINGERS
from tiae_ros.vision.detail import DETAIL_PX, DETAIL_SHARE, STORED_PX
from tiae_training.imitation.false_windows import NoHands
from tiae_training.imitation.rows import Floats, HandRows
from tiae_training.imitation.seeing import no_details

_LEAST_PIXELS = 20
_NOTHING = 0.02


def draw_no_hands(rows: HandRows, channels: Sequence[str], seed: int) -> NoHands:
    """One for each window of a hand, also in detail where hands are told so."""
    return no_hands_like(rows.images, rows.details, channels, np.random.default_rng(seed))


def no_hands_like(
    windows: Floats, details: NDArray[np.uint8], channels: Sequence[str], rng: np.random.Generator
) -> NoHands:
    """Windows of no hand, made of these; where details (N, 3, 80, 80) are given, of them."""
    if not details.shape[1]:
        return NoHands(draw_others(windows, channels, rng), no_details(len(windows)))
    fine = draw_others(details.astype(np.float32) / np.float32(255), channels, rng)
    return NoHands(window_of_details(fine, windows.shape[-1]), np.rint(fine * 255).astype(np.uint8))


def window_of_details(details: Floats, window_size: int) -> Floats:
    """What windows (N, C, S, S) show of stored details; their border is empty."""
    side = round(STORED_PX / DETAIL_PX * DETAIL_SHARE * window_size)
    first = (window_size - side) // 2
    windows = np.zeros((len(details), details.shape[1], window_size, window_size), np.float32)
    for window, detail in zip(windows, details, strict=True):
        for channel, plane in zip(window, detail, strict=True):
            channel[first : first + side, first : first + side] = cv2.resize(
                plane, (side, side), interpolation=cv2.INTER_AREA
            )
    return windows


def draw_others(windows: Floats, channels: Sequence[str], rng: np.random.Generator) -> Floats:
    """One window of no hand for each window of a hand, (N, C, S, S) 0..1, where its channels are the node's."""
    if list(channels[:2]) != ["hand_mask", "object_mask"]:
        return np.stack([_scraps(window, rng) for window in windows])
    made = np.empty_like(windows)
    for row, window in zip(made, windows, strict=True):
        kind = rng.random()
        if kind < 0.3 and (window[1] > 0.5).sum() > _LEAST_PIXELS:
            row[:] = _thing(window, rng)
        elif kind < 0.4 and (window[1] > 0.5).sum() > _LEAST_PIXELS:
            row[:] = window[[1, 0, *range(2, len(window))]]
        elif kind < 0.5:
            row[:] = _scraps(window, rng)
        else:
            row[:] = _shapes(len(windows[0]), windows.shape[-1], rng)
    return made


def _thing(window: Floats, rng: np.random.Generator) -> Floats:
    made = np.zeros_like(window)
    made[0] = window[1]
    if len(window) > 2:
        made[2] = window[2] * (window[1] > 0.5)
    turned: Floats = np.rot90(made, int(rng.integers(4)), (1, 2))
    return turned


def _scraps(window: Floats, rng: np.random.Generator) -> Floats:
    size = window.shape[-1]
    half = (size + 1) // 2  # of an odd side the quarters share the middle line
    places = [(slice(y, y + half), slice(x, x + half)) for y in (0, size - half) for x in (0, size - half)]
    made = np.empty_like(window)
    for (rows, columns), n in zip(places, rng.permutation(len(places)), strict=True):
        made[:, rows, columns] = np.rot90(window[(slice(None), *places[n])], int(rng.integers(1, 4)), (1, 2))
    return made


def _shapes(channels: int, size: int, rng: np.random.Generator) -> Floats:
    """A few shapes as hand, perhaps some as thing; their surfaces lean and bend."""
    made = np.zeros((channels, size, size), np.float32)
    for channel in range(1 if rng.random() < 0.5 else 2):
        mask = np.zeros((size, size), bool)
        for _ in range(rng.integers(1, len(FINGERS))):
            mask |= _shape(size, rng)
        mask &= ~(made[0] > 0) if channel else True
        made[channel] = mask
        if channels > 2:
            y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
            surface = rng.uniform(0.3, 0.7) + x * rng.normal(0, 0.4) + y * rng.normal(0, 0.4)
            surface += (x**2 + y**2) * rng.normal(0, 1.0) + rng.normal(0, 0.01, (size, size))
            made[2] += mask * surface.clip(_NOTHING, 1.0)
    return made


def _shape(size: int, rng: np.random.Generator) -> np.ndarray:
    """An ellipse, a box or a bar, (S, S) bool."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle, (cx, cy) = rng.uniform(0, np.pi), rng.normal(0, size / 10, 2)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle) + rng.normal(0, 0.01) * along**2
    a, b = rng.uniform(3, size / 3), rng.uniform(1.5, size / 5)
    if rng.random() < 0.5:
        return np.asarray((along / a) ** 2 + (across / b) ** 2 < 1)
    return np.asarray((abs(along) < a * rng.uniform(1, 2)) & (abs(across) < b))
