"""A hand in detail: the middle of a window, brought to where the auto-encoder found the pattern, in finer pixels.

A window shows a grasp with room around it, so that shifts can be found; a finger is two of its pixels wide. A detail
shows `DETAIL_SHARE` of its side (0.225 m of 0.30 m) in `DETAIL_PX` pixels, nearly as fine as cameras see hands.

Files keep details with a margin (`STORED_PX`, the same pixels) around the window's own middle: `crop` cuts the part
that is seen once the shift is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError
from tiae_ros.vision.cut_windows import cut_grasp
from tiae_ros.vision.labels import Floats, Labels
from tiae_ros.vision.window import DEFAULT_RANGE_M, Window

DETAIL_PX = 64
DETAIL_SHARE = 0.75  # of the window's side
STORED_PX = 80
CHANNELS = 3  # hand, object, depth: as `cut_grasp`


def cut_detail(
    depth_m: Floats,
    labels: Labels,
    window: Window,
    shift: Sequence[float] | Floats = (0.0, 0.0),
    *,
    window_size: int = 32,
    range_m: float = DEFAULT_RANGE_M,
    size: int = DETAIL_PX,
) -> Floats:
    """Hand, object and depth around a window's middle moved by a shift: (3, size, size) float32 0..1.

    Args:
        shift: (dx, dy) in pixels of a window of ``window_size``, right and down.
        size: in pixels of a detail; `STORED_PX` for one with a margin.
    """
    step = window.side_px / window_size
    around = dataclasses.replace(
        window,
        center_x=window.center_x + float(shift[0]) * step,
        center_y=window.center_y + float(shift[1]) * step,
        side_px=window.side_px * DETAIL_SHARE * size / DETAIL_PX,
    )
    return cut_grasp(depth_m, labels, around, size, range_m)


def cut_details(
    depth_m: Floats, labels: Labels, windows: Sequence[Window], shifts: Floats, window_size: int, range_m: float
) -> Floats:
    """As `cut_detail` for each window and its shift (N, 2): (N, 3, 64, 64)."""
    found = np.empty((len(windows), CHANNELS, DETAIL_PX, DETAIL_PX), np.float32)
    for row, window, shift in zip(found, windows, shifts, strict=True):
        row[:] = cut_detail(depth_m, labels, window, shift, window_size=window_size, range_m=range_m)
    return found


def crop(stored: NDArray[np.uint8] | Floats, shifts: Floats, window_size: int = 32) -> Floats:
    """Details of stored ones: (N, 3, 80, 80) uint8 or 0..1 -> (N, 3, 64, 64) float32 0..1, by whole pixels.

    shifts: (N, 2) window pixels from the middle of each window; beyond the margin there is nothing. Raises DataError.
    """
    if stored.ndim != 4 or stored.shape[1:] != (CHANNELS, STORED_PX, STORED_PX) or len(stored) != len(shifts):
        raise DataError(
            f"details have shape {stored.shape}, with {len(shifts)} shifts; accepted are "
            f"(N, {CHANNELS}, {STORED_PX}, {STORED_PX}) and as many shifts"
        )
    margin = (STORED_PX - DETAIL_PX) // 2
    found = np.zeros((len(stored), CHANNELS, DETAIL_PX, DETAIL_PX), np.float32)
    for row, one, (left, top) in zip(found, stored, margin + whole_pixels(shifts, window_size), strict=True):
        ys, xs = (slice(max(0, first), min(STORED_PX, first + DETAIL_PX)) for first in (top, left))
        if ys.start < ys.stop and xs.start < xs.stop:
            row[:, ys.start - top : ys.stop - top, xs.start - left : xs.stop - left] = one[:, ys, xs]
    return found / np.float32(255) if stored.dtype == np.uint8 else found


def pixel_of(window_size: int = 32) -> float:
    """The side of a detail's pixel in pixels of a window: 3/8 of those of 32."""
    return DETAIL_SHARE * window_size / DETAIL_PX


def whole_pixels(shifts: Floats, window_size: int = 32) -> NDArray[np.int64]:
    """Shifts in window pixels -> whole pixels of a detail, (N, 2)."""
    pixels = np.clip(np.asarray(shifts) / pixel_of(window_size), -STORED_PX, STORED_PX)
    whole: NDArray[np.int64] = np.rint(pixels).astype(np.int64)
    return whole
