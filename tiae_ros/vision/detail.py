"""A hand in detail: finer pixels of a window, moved to where the pattern was found, turned to have the arm below.

A window shows a grasp with room around it, so that shifts can be found; a finger is two of its pixels wide. A detail
shows `DETAIL_SHARE` of its side (0.225 m of 0.30 m) in `DETAIL_PX` pixels, nearly as fine as cameras see hands. What
reads it need not learn that hands may lie anywhere, nor that arms come from everywhere.

Files keep details with a margin (`STORED_PX`, the same pixels), upright as the camera is and around the window's own
middle; `bring` makes of them what is seen, once shift and arm are known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError
from tiae_ros.vision.cut_windows import cut_grasp
from tiae_ros.vision.labels import Floats, Labels
from tiae_ros.vision.window import DEFAULT_RANGE_M, Window, window_to_image

DETAIL_PX = 64
DETAIL_SHARE = 0.75  # of the window's side
STORED_PX = 80
CHANNELS = 3  # hand, object, depth: as `cut_grasp`


def cut_stored(
    depth_m: Floats,
    labels: Labels,
    window: Window,
    shift: Sequence[float] | Floats = (0.0, 0.0),
    *,
    window_size: int = 32,
    range_m: float = DEFAULT_RANGE_M,
) -> Floats:
    """Hand, object and depth around a window's middle moved by a shift: (3, 80, 80) float32 0..1.

    shift: (dx, dy) in pixels of a window of ``window_size``, right and down.
    """
    middle = (window_size - 1) / 2
    x, y = window_to_image(middle + float(shift[0]), middle + float(shift[1]), window, window_size)
    side_px = window.side_px * DETAIL_SHARE * STORED_PX / DETAIL_PX
    around = dataclasses.replace(window, center_x=x, center_y=y, side_px=side_px)
    return cut_grasp(depth_m, labels, around, STORED_PX, range_m)


def cut_details(
    depth_m: Floats, labels: Labels, windows: Sequence[Window], seen: Floats, shifts: Floats, range_m: float
) -> Floats:
    """What is seen in detail of each window: (N, 3, 64, 64).

    seen: (N, C, S, S) the windows as the auto-encoder was shown them, the hand's mask first. shifts: (N, 2) what it
    found, window pixels.
    """
    size = seen.shape[-1]
    stored = np.zeros((len(windows), CHANNELS, STORED_PX, STORED_PX), np.float32)
    for row, window, shift in zip(stored, windows, shifts, strict=True):
        row[:] = cut_stored(depth_m, labels, window, shift, window_size=size, range_m=range_m)
    return bring(stored, np.zeros_like(shifts), arm_angles(seen, shifts), size)


def bring(stored: NDArray[np.uint8] | Floats, middles: Floats, angles: Floats, window_size: int = 32) -> Floats:
    """What is seen of stored details: (N, 3, 80, 80) uint8 or 0..1 -> (N, 3, 64, 64) float32 0..1.

    Args:
        middles: (N, 2) of what is seen, window pixels from the stored middle; beyond the margin there is nothing.
        angles: (N,) of the arm, radians from right towards down; it will point down.

    Raises DataError.
    """
    wanted = (CHANNELS, STORED_PX, STORED_PX)
    if stored.ndim != 4 or stored.shape[1:] != wanted or not len(stored) == len(middles) == len(angles):
        raise DataError(
            f"details have shape {stored.shape}, with {len(middles)} middles and {len(angles)} angles; accepted are "
            f"(N, {CHANNELS}, {STORED_PX}, {STORED_PX}) and as many middles and angles"
        )
    found = np.zeros((len(stored), CHANNELS, DETAIL_PX, DETAIL_PX), np.float32)
    to = (DETAIL_PX - 1) / 2
    turns = turns_of(angles)
    starts = (STORED_PX - 1) / 2 + np.asarray(middles, float) / pixel_of(window_size) - turns @ [to, to]
    for row, one, turn, start in zip(found, stored, turns, starts, strict=True):
        matrix = np.concatenate((turn, np.clip(start, -1e4, 1e4)[:, None]), axis=1)
        picture = np.ascontiguousarray(one.transpose(1, 2, 0))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        row[:] = cv2.warpAffine(picture, matrix, (DETAIL_PX, DETAIL_PX), flags=flags).transpose(2, 0, 1)
    return found / np.float32(255) if stored.dtype == np.uint8 else found


def turns_of(angles: Floats) -> NDArray[np.float64]:
    """(N, 2, 2) from what is seen, where the arm is below, to the window, in which arms have these angles (N,)."""
    sine, cosine = np.sin(angles, dtype=float), np.cos(angles, dtype=float)
    return np.stack((np.stack((sine, cosine), 1), np.stack((-cosine, sine), 1)), 1)


def arm_angles(seen: Floats, shifts: Floats) -> Floats:
    """Whereto a hand reaches farthest, which is its arm where one is seen: (N,) radians from right towards down.

    Args:
        seen: (N, C, S, S) windows, the hand's mask first.
        shifts: (N, 2) where the pattern was found, window pixels.

    Each of the hand's pixels counts by the square of its distance from there. Rendered hands: half are within 10 to 13
    degrees of the line from the knuckles to the wrist, one of twelve is the other way round (hardly an arm in view).
    """
    size = seen.shape[-1]
    middle = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    right = middle[None, None, :] - np.asarray(shifts, np.float32)[:, 0, None, None]
    down = middle[None, :, None] - np.asarray(shifts, np.float32)[:, 1, None, None]
    mass = seen[:, 0] * (right**2 + down**2)
    return np.asarray(np.arctan2((mass * down).sum((1, 2)), (mass * right).sum((1, 2)) + 1e-9), np.float32)


def pixel_of(window_size: int = 32) -> float:
    """The side of a detail's pixel in pixels of a window: 3/8 of those of 32."""
    return DETAIL_SHARE * window_size / DETAIL_PX
