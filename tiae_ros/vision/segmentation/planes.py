"""What the segmentation network sees of a frame: a grid of cells, with nine planes of colour, depth and scale."""

from __future__ import annotations

import cv2
import numpy as np

from tiae_ros.vision.labels import Floats, Picture

CHANNELS = (
    "red", "green", "blue", "has_color", "has_depth", "depth", "relief_near", "relief_wide", "cell_size"
)  # fmt: skip
INPUTS = len(CHANNELS)
CLIP_M = 1.5  # depth beyond is as good as this
_SURFACE_RATIO = 1.06  # readings of a cell up to 6 % behind its nearest are on one surface
_NEAREST_BITS = np.float32(0.001).view(np.uint32) + np.uint32(1)  # of the first float above a millimetre
_FARTHEST_BITS = np.float32(100).view(np.uint32)  # metres
_FARTHEST_READING = np.nextafter(np.float32(100), np.float32(0))
_RELIEFS = ((7, 0.015), (31, 0.06))  # side of the neighbourhood in cells, unit in metres


def input_planes(color: Picture | None, depth: Floats, focal_cells: float) -> Floats:
    """What the network sees of each cell: (H, W, 9).

    0-2 colour, 3 there is colour, 4 there is depth, 5 depth, 6-7 depth against the mean around (two sizes),
    8 size of a cell in metres at its depth.

    Args:
        color: (H, W, 3) rgb or None.
        depth: (H, W) metres, 0 where there is none.
        focal_cells: focal length in cells.
    """
    return np.ascontiguousarray(planes_of(color, depth, focal_cells).transpose(1, 2, 0))


def planes_of(color: Picture | None, depth: Floats, focal_cells: float) -> Floats:
    """The same, a plane after the other: (9, H, W). In place, since memory costs more than arithmetic here."""
    planes = np.empty((INPUTS, *depth.shape), np.float32)
    if color is None:
        planes[:4] = 0
    else:
        tones = color.astype(np.float32)
        tones *= np.float32(1 / 64)
        tones -= 2
        cv2.split(tones, [planes[0], planes[1], planes[2]])
        planes[3] = 1
    known = planes[4]
    np.greater(depth, 0, out=known)
    depth = np.minimum(depth, np.float32(CLIP_M))
    distance = np.subtract(depth, np.float32(0.6), out=planes[5])
    distance *= known
    distance *= np.float32(1 / 0.3)
    for relief, (side, unit_m) in zip(planes[6:8], _RELIEFS, strict=True):
        count = cv2.blur(known, (side, side), borderType=cv2.BORDER_CONSTANT)
        mean = cv2.blur(depth, (side, side), borderType=cv2.BORDER_CONSTANT)
        np.subtract(depth, mean / np.maximum(count, np.float32(1e-6)), out=relief)
        relief *= known
        relief *= np.float32(1 / unit_m)
        np.clip(relief, -3, 3, out=relief)
    size = planes[8]
    np.maximum(depth, np.float32(0.05), out=size)
    size /= np.float32(focal_cells)
    np.log(size, out=size)
    size += np.float32(5.3)
    size *= known
    size *= 2
    return planes


def cell_colors(color: Picture, cell: int) -> Picture:
    """Mean colour of each cell, to a level or two: halving, which OpenCV does fastest, rounds each time."""
    height, width = color.shape[0] // cell, color.shape[1] // cell
    color = color[: height * cell, : width * cell]
    while cell > 1:
        step = 2 if cell % 2 == 0 else cell
        cell //= step
        size = width * cell, height * cell
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return color


def cell_depths(depth_m: Floats, cell: int) -> Floats:
    """Mean of some of a cell's readings, those on its nearest surface; 0 where there is none.

    Four pixels of each cell are looked at: they say as much as all sixteen, in a quarter of the time.
    """
    height, width = depth_m.shape[0] // cell, depth_m.shape[1] // cell
    starts = sorted({cell // 4, (3 * cell) // 4})
    places = [(row, column) for row in starts for column in starts]
    parts = np.empty((len(places), height, width), np.float32)
    for part, (row, column) in zip(parts, places, strict=True):
        part[:] = depth_m[row : height * cell : cell, column : width * cell : cell]
    # What is no reading (0, below, NaN, infinity) becomes the far end. The bits of floats above 0 are ordered as the
    # floats are; counted from the near end on, all others lie beyond the far end: no comparison per kind, no branch.
    bits = parts.view(np.uint32)
    bits -= _NEAREST_BITS
    np.minimum(bits, _FARTHEST_BITS - _NEAREST_BITS, out=bits)
    bits += _NEAREST_BITS
    limit = np.minimum(parts.min(axis=0) * np.float32(_SURFACE_RATIO), _FARTHEST_READING)
    same = np.less_equal(parts, limit, out=np.empty_like(parts))  # as 0 and 1
    parts *= same
    reduced: Floats = parts.sum(axis=0)
    reduced /= np.maximum(same.sum(axis=0), 1)
    return reduced
