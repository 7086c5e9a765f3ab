"""A frame reduced to a grid of cells, and labels of cells made labels of pixels again."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import Floats, Mask, Picture
from tiae_ros.vision.masks import part_around

DEPTH_MAX_M = np.float32(10.0)
"""Beyond, depth cameras for the near range do not measure."""
_ROUGHLY = 0.9  # a patch is less than a tenth off by every second pixel alone
_NEAREST_M = np.float32(0.001)
_CELL_DEPTH_RATIO = np.float32(1.06)  # readings of a cell up to 6 % behind its nearest are on one surface


def readings(depth_m: Floats) -> Floats:
    """Depth with DEPTH_MAX_M in place of what is no reading: NaN, not above a millimetre, or as far or farther."""
    read: Floats = np.fmin(depth_m, DEPTH_MAX_M)  # of a number and NaN it takes the number
    if not read.min() > _NEAREST_M:
        read[read <= _NEAREST_M] = DEPTH_MAX_M
    return read


def grid_start(color: Picture | None, read_m: Floats, cell: int) -> tuple[int, int]:
    """The pixel (row, column), less than a cell from the corner, where the grid of cells starts.

    The grid is laid through a point of the picture's content: the middle of the nearest patch of skin colour
    (or, without colour, of the nearest patch). So it moves with the content, by any number of pixels.
    """
    height, width = read_m.shape
    if cell == 1 or min(height, width) < 2 * cell:
        return 0, 0
    # Every second pixel says roughly where; only there is every pixel looked at.
    rough = _patches(None if color is None else _every_second(color), read_m[::2, ::2], 4 * cell + 1)
    good = part_around(rough >= _ROUGHLY * rough.max(), cell)
    if good is None:
        return 0, 0
    margin = 4 * cell
    top, left = (max(0, 2 * part.start - margin) for part in good)
    bottom, right = (min(end, 2 * part.stop + margin) for end, part in zip((height, width), good, strict=True))
    part = slice(top, bottom), slice(left, right)
    patches = _patches(None if color is None else color[part], read_m[part], 8 * cell + 1)
    row, column = divmod(int(np.argmax(patches)), right - left)
    return (top + row) % cell, (left + column) % cell


def _every_second(color: Picture) -> Picture:
    """Every second pixel of every second row; the same as slicing, which OpenCV then copies three times as long."""
    height, width = color.shape[:2]
    if height % 2 or width % 2:
        return color[::2, ::2]
    return cv2.resize(color, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)  # type: ignore[return-value]


def _patches(color: Picture | None, read_m: Floats, side: int) -> NDArray[np.int32]:
    """For each pixel, how near and how much like skin the square around it is."""
    nearness = np.divide(np.float32(50.0), read_m)
    weight = np.minimum(nearness, np.float32(250.0), out=nearness).astype(np.uint8)
    weight = cv2.threshold(weight, int(50.0 / DEPTH_MAX_M), 0, cv2.THRESH_TOZERO)[1].astype(np.uint8, copy=False)
    if color is not None:
        red, green, blue = cv2.split(color)  # of skin, red is above both; of pink and purple rooms only above green
        above = cv2.subtract(red, cv2.max(green, blue))  # not below 0
        if above.any():  # otherwise (gloves, grey pictures) the nearest patch serves
            weight = cv2.multiply(weight, above, scale=1 / 64).astype(np.uint8, copy=False)
    # In whole numbers: sums that are rounded depend on where in the picture they are made.
    return cv2.boxFilter(  # type: ignore[return-value]
        weight, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )


def mean_colors(color: Picture, cell: int) -> Picture:
    """Mean colour of each cell; pixels beyond the last whole cell are left out."""
    height, width = color.shape[0] // cell, color.shape[1] // cell
    cut = color[: height * cell, : width * cell]
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def surface_depths(read_m: Floats, cell: int) -> Floats:
    """Mean of a cell's readings on its nearest surface, NaN where fewer than a quarter of the pixels have any."""
    height, width = read_m.shape[0] // cell, read_m.shape[1] // cell
    cut = read_m[: height * cell, : width * cell]
    # Of cells of a multiple of 4, every second pixel, as on a chessboard, says as much.
    starts = range(cell)
    pixels = [(row, column) for row in starts for column in starts]
    if cell % 4 == 0:
        pixels = [(row, column) for odd in (0, 1) for row in starts[odd::2] for column in starts[odd::2]]
    parts = [np.ascontiguousarray(cut[row::cell, column::cell]) for row, column in pixels]
    nearest = parts[0].copy()
    for part in parts[1:]:
        np.minimum(nearest, part, out=nearest)
    limit = np.minimum(nearest * _CELL_DEPTH_RATIO, np.nextafter(DEPTH_MAX_M, np.float32(0)))
    count, total, share = np.zeros_like(nearest), np.zeros_like(nearest), np.empty_like(nearest)
    for part in parts:
        same = part <= limit
        count += same
        total += np.multiply(part, same, out=share)
    total /= np.maximum(count, 1)
    total[4 * count < len(parts)] = np.nan
    return total


def enlarge(mask: Mask, cell: int, labels: NDArray[np.uint8], value: int) -> None:
    """Set a mask's cells in the labels of pixels, with outlines smoothed over a cell."""
    part = part_around(mask, 1)
    if part is None:
        return
    rows, columns = part
    size = ((columns.stop - columns.start) * cell, (rows.stop - rows.start) * cell)
    smooth = cv2.resize(mask[part].astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    pixels = labels[rows.start * cell : rows.stop * cell, columns.start * cell : columns.stop * cell]
    pixels[smooth > 0.5] = value
