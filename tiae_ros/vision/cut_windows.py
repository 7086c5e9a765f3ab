"""What lies in a window: the shares of hand and object, and their depth, of each of its pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.vision.arm_axis import bounding_box
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels, Mask, check_one_size
from tiae_ros.vision.window import COVERED, DEFAULT_RANGE_M, Window, check_range, has_reading


def cut_masks(labels: Labels, window: Window, size: int = 32) -> Floats:
    """Share of each window pixel that the hand and the object cover: (2, size, size) float32 in 0..1.

    What lies outside the picture is 0.
    """
    if labels.ndim != 2:
        raise ImageError(f"labels must be (height, width), got shape {labels.shape}")
    return _Sampler(labels, window, size).masks()


def cut_depth(
    depth_m: Floats, labels: Labels, window: Window, size: int = 32, range_m: float = DEFAULT_RANGE_M
) -> Floats:
    """Depth of hand and object in the window: (1, size, size) float32, 0 = nothing ... 1 = nearest.

    A value is ``clip(1 - (d - (z0 - range/2)) / range, 0, 1)`` with ``z0`` the window's depth. A window pixel
    belongs to the grasp when hand and object cover at least half of it; its value is the mean of the readings
    on them alone, since a depth averaged with the background is one where nothing is. Where there
    is no reading, the value is filled in from the neighbours.
    """
    check_one_size("labels", labels.shape, depth_m)
    check_range(range_m)
    return _Sampler(labels, window, size).depth(depth_m, window.depth_m, range_m)


def cut_grasp(
    depth_m: Floats, labels: Labels, window: Window, size: int = 32, range_m: float = DEFAULT_RANGE_M
) -> Floats:
    """Hand, object and depth of a window: (3, size, size) float32, as `cut_masks` and `cut_depth`, in less time."""
    check_one_size("labels", labels.shape, depth_m)
    check_range(range_m)
    sampler = _Sampler(labels, window, size)
    return np.concatenate((sampler.masks(), sampler.depth(depth_m, window.depth_m, range_m)))


class _Sampler:
    """Averages of image values over the pixels of a window, as one small matrix product per axis.

    Each window pixel is the mean over a box as wide as itself or as one image pixel, whichever is more. On
    pixels taken as constant squares this is the exact area average when the window is coarser than the image,
    and bilinear interpolation when it is finer. Outside the picture everything is 0, and so is what has no
    label: only the box around the labels in the window is looked at.
    """

    def __init__(self, labels: Labels, window: Window, size: int) -> None:
        if size < 1:
            raise ParameterError(f"window size {size} px cannot be used; it must be at least 1")
        rows = _met(labels.shape[0], window.center_y, window.side_px, size)
        columns = _met(labels.shape[1], window.center_x, window.side_px, size)
        top, left, bottom, right = bounding_box(np.ascontiguousarray(labels[rows, columns])) or (0, 0, 0, 0)
        self._part = (
            slice(rows.start + top, rows.start + bottom),
            slice(columns.start + left, columns.start + right),
        )
        self._labels = labels[self._part]
        self._weights_y = _axis_weights(self._part[0], window.center_y, window.side_px, size)
        self._weights_x = np.ascontiguousarray(_axis_weights(self._part[1], window.center_x, window.side_px, size).T)

    def masks(self) -> Floats:
        """As `cut_masks`."""
        planes = self._planes(2)
        np.equal(self._labels, HAND, out=planes[0])
        np.equal(self._labels, OBJECT, out=planes[1])
        return self._averages(planes)

    def depth(self, depth_m: Floats, middle_m: float, range_m: float) -> Floats:
        """As `cut_depth`."""
        depth = depth_m[self._part]
        grasp = self._labels > 0
        read = grasp & has_reading(depth)
        values = depth - np.float32(middle_m - range_m / 2)
        values /= np.float32(range_m)
        np.subtract(np.float32(1.0), values, out=values)
        within = read & (values > 0)
        np.minimum(values, np.float32(1.0), out=values)
        planes = self._planes(4)
        planes[0], planes[1], planes[2], planes[3] = grasp, read, within, 0.0
        np.copyto(planes[3], values, where=within)
        means = self._averages(planes)
        share, share_read, share_within, mean = means
        covered = share >= COVERED
        mean /= np.maximum(share_within, np.float32(1e-9))
        # Readings behind the range (background that leaks over an edge) count only where they are the majority.
        known = covered & (share_read > 1e-6)
        mean[~(known & (2 * share_within >= share_read))] = 0.0
        filled = _fill_from_neighbours(mean, known, covered)
        return np.clip(filled, 0.0, 1.0)[None]  # (size, size) -> (1, size, size)

    def _planes(self, count: int) -> Floats:
        return np.empty((count, *self._labels.shape), np.float32)

    def _averages(self, planes: Floats) -> Floats:
        """Means of planes with values in 0..1, (P, h, w) -> (P, size, size)."""
        means = (self._weights_y @ planes @ self._weights_x).astype(np.float32, copy=False)
        return np.clip(means, 0.0, 1.0, out=means)


def _met(length: int, center: float, side: float, size: int) -> slice:
    """The image pixels that a window meets along one axis."""
    half = (size - 1) / 2 * (side / size) + max(side / size, 1.0) / 2
    low = max(0, math.floor(center - half))
    high = min(length, math.ceil(center + half) + 1)
    return slice(low, high) if high > low else slice(0, 0)


def _axis_weights(part: slice, center: float, side: float, size: int) -> Floats:
    """The weights of a part of the image's pixels along one axis: (size, pixels)."""
    # Whole and fractional part are kept apart: the weights then depend on the fraction alone.
    whole = math.floor(center)
    fraction = center - whole
    step = side / size
    width = max(step, 1.0)
    middles = (fraction + (np.arange(size) - (size - 1) / 2) * step)[:, None]
    pixels = np.arange(part.start - whole, part.stop - whole)
    covered = np.minimum(middles + width / 2, pixels + 0.5) - np.maximum(middles - width / 2, pixels - 0.5)
    weights: Floats = np.maximum(covered / width, 0.0).astype(np.float32)
    return weights


def _fill_from_neighbours(values: Floats, known: Mask, wanted: Mask) -> Floats:
    """Give the wanted pixels without a value the mean of their known neighbours, ring by ring."""
    values, known = values.copy(), known.copy()
    values[~known] = 0.0
    for _ in range(values.shape[0]):
        missing = wanted & ~known
        if not missing.any():
            break
        count = cv2.boxFilter(known.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        total = cv2.boxFilter(values, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        new = missing & (count > 0.5)
        if not new.any():
            break
        values[new] = total[new] / count[new]
        known |= new
    return values
