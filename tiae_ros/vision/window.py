"""Square windows of a fixed metric size on the grasps of a labelled frame, and the way back.

*Convention.* Image pixel centres lie at integer coordinates, and so do those of the window. Window pixel
``(u, v)`` of a ``size`` x ``size`` window has its centre in the image at

    x = center_x + (u - (size - 1) / 2) * side_px / size        (y likewise)

and covers ``side_px / size`` image pixels in each direction. Moving labels and depth by whole pixels moves
the centre by exactly as much and changes no bit of the contents, as long as nothing of the grasp is cut off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.vision.hand_end import bounding_box, cells_of, picture_edges, tip_and_entry
from tiae_ros.vision.masks import grown

HAND = 1
OBJECT = 2

Labels = NDArray[np.uint8]
Depth = NDArray[np.float32]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Sizes of a hand, from the breadth and length of adult hands (8-9 cm by 17-20 cm) with some slack.
_HAND_LENGTH_M = 0.17  # from the finger tips to the wrist
_GRASP_RADIUS_M = 0.11  # from where the object is touched to the far side of the palm
_CONTACT_GAP_M = 0.015  # depth shadows separate a finger from the thing it touches by about this much
_WHOLE_HAND_M = 0.24  # a hand region not longer than this carries no forearm worth cutting off
_MIN_HAND_AREA_M2 = 0.03**2  # less than three by three centimetres is not taken for a hand
# Centres are kept in steps that binary floating point adds to whole pixels without rounding.
_CENTER_STEPS_PER_PX = 64.0
DEFAULT_RANGE_M = 0.30  # metres from the depth value 0 to 1
_COVERED = 0.5  # a window pixel at least half of which is hand or object


@dataclass(frozen=True)
class Window:
    """A square part of the colour image that holds a grasp."""

    center_x: float
    center_y: float
    side_px: float
    depth_m: float
    """Reference depth: median of the hand's readings."""

    def __post_init__(self) -> None:
        values = (self.center_x, self.center_y, self.side_px, self.depth_m)
        if not all(math.isfinite(value) for value in values) or self.side_px <= 0 or self.depth_m <= 0:
            raise ParameterError(f"a window needs finite numbers and a positive side and depth, got {values}")


def find_windows(labels: Labels, depth_m: Depth, focal_px: float, metric_size_m: float = 0.30) -> list[Window]:
    """One window per hand (with what it holds), the nearest first; empty when there is no hand.

    A hand none of whose pixels has a depth reading gets no window: its metric size is unknown.
    """
    _check_frame(labels, depth_m)
    if not (math.isfinite(focal_px) and focal_px > 0):
        raise ParameterError(f"focal length {focal_px} px cannot be used; it must be finite and above 0")
    if not (math.isfinite(metric_size_m) and metric_size_m > 0):
        raise ParameterError(f"window size {metric_size_m} m cannot be used; it must be finite and above 0")
    box = bounding_box(labels)
    if box is None:
        return []
    top, left, bottom, right = box
    part, depth = labels[top:bottom, left:right], depth_m[top:bottom, left:right]
    hand = part == HAND
    readings = depth[hand & _valid(depth)]
    if readings.size == 0:
        return []
    edges = picture_edges(depth_m)
    # Gaps between fingers and object (depth shadows) are bridged before regions are told apart.
    gap_px = _CONTACT_GAP_M * focal_px / _median(readings)
    grasps = _regions(part > 0, gap_px)
    windows = []
    for index in range(1, int(grasps.max()) + 1):
        grasp = grasps == index
        found = _grasp_center(hand & grasp, (part == OBJECT) & grasp, depth, focal_px, edges, (top, left))
        if found is not None:
            x, y, z = found
            windows.append(Window(center_x=x + left, center_y=y + top, side_px=metric_size_m * focal_px / z, depth_m=z))
    return sorted(windows, key=lambda window: window.depth_m)


def cut_masks(labels: Labels, window: Window, size: int = 32) -> Floats:
    """Share of each window pixel that the hand and the object cover: (2, size, size) float32 in 0..1.

    What lies outside the picture is 0.
    """
    if labels.ndim != 2:
        raise ImageError(f"labels must be (height, width), got shape {labels.shape}")
    return _Sampler(labels, window, size).masks()


def cut_depth(
    depth_m: Depth, labels: Labels, window: Window, size: int = 32, range_m: float = DEFAULT_RANGE_M
) -> Floats:
    """Depth of hand and object in the window: (1, size, size) float32, 0 = nothing ... 1 = nearest.

    A value is ``clip(1 - (d - (z0 - range/2)) / range, 0, 1)`` with ``z0`` the window's depth. A window pixel
    belongs to the grasp when hand and object cover at least half of it; its value is the mean of the readings
    on them alone, since a depth averaged with the background is one where nothing is. Where there
    is no reading, the value is filled in from the neighbours.
    """
    _check_frame(labels, depth_m)
    _check_range(range_m)
    return _Sampler(labels, window, size).depth(depth_m, window.depth_m, range_m)


def cut_grasp(
    depth_m: Depth, labels: Labels, window: Window, size: int = 32, range_m: float = DEFAULT_RANGE_M
) -> Floats:
    """Hand, object and depth of a window: (3, size, size) float32, as `cut_masks` and `cut_depth`, in less time."""
    _check_frame(labels, depth_m)
    _check_range(range_m)
    sampler = _Sampler(labels, window, size)
    return np.concatenate((sampler.masks(), sampler.depth(depth_m, window.depth_m, range_m)))


def depth_from_window(
    values: Floats, window: Window, range_m: float = DEFAULT_RANGE_M, threshold: float = 0.15
) -> Floats:
    """Metres from the values of ``cut_depth`` (any shape), NaN where a value is below ``threshold``."""
    _check_range(range_m)
    values = np.asarray(values, dtype=np.float32)
    depth = np.float32(window.depth_m - range_m / 2) + (1 - np.clip(values, 0, 1)) * np.float32(range_m)
    with np.errstate(invalid="ignore"):
        return np.where((values >= threshold) & (depth > 0), depth, np.float32(np.nan)).astype(np.float32)


def surface_values(depth: Floats, cover: Floats) -> Floats:
    """Restored depth values of what is there: (…, H, W) twice -> the same, 0 where nothing is restored.

    What an auto-encoder restores is a mean over what may be there. On outlines that is a mean of a surface's value and
    of nothing's (0), which is the depth of neither; divided by the share of the pixel that is restored as hand or
    object (`cover`) it is the surface's. This is how colours with an alpha channel are unmixed.
    """
    shared = np.minimum(depth / np.maximum(cover, np.float32(_COVERED)), np.float32(1.0))
    return np.where(cover >= _COVERED, shared, np.float32(0.0)).astype(np.float32)


def window_to_image(x: float, y: float, window: Window, size: int = 32) -> tuple[float, float]:
    """Window coordinates -> image coordinates (see the convention above)."""
    scale, middle = window.side_px / size, (size - 1) / 2
    return window.center_x + (x - middle) * scale, window.center_y + (y - middle) * scale


def image_to_window(x: float, y: float, window: Window, size: int = 32) -> tuple[float, float]:
    """Image coordinates -> window coordinates (see the convention above)."""
    scale, middle = window.side_px / size, (size - 1) / 2
    return (x - window.center_x) / scale + middle, (y - window.center_y) / scale + middle


def window_camera(k: NDArray[np.float64], window: Window, size: int = 32) -> NDArray[np.float64]:
    """Intrinsics (3x3) of the camera that sees only the window, from those of the whole image."""
    k = np.asarray(k, dtype=np.float64)
    if k.shape != (3, 3):
        raise ParameterError(f"camera matrix must be 3x3, got shape {k.shape}")
    scale, middle = window.side_px / size, (size - 1) / 2
    to_window = np.array(
        [
            [1 / scale, 0.0, middle - window.center_x / scale],
            [0.0, 1 / scale, middle - window.center_y / scale],
            [0.0, 0.0, 1.0],
        ]
    )
    return to_window @ k


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

    def depth(self, depth_m: Depth, middle_m: float, range_m: float) -> Floats:
        """As `cut_depth`."""
        depth = depth_m[self._part]
        grasp = self._labels > 0
        read = grasp & _valid(depth)
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
        covered = share >= _COVERED
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


def _grasp_center(
    hand: Mask,
    held: Mask,
    depth: Depth,
    focal_px: float,
    edges: tuple[int, int, int, int],
    origin: tuple[int, int],
) -> tuple[float, float, float] | None:
    """Centre (x, y in the crop) and depth of one grasp, or None when it is too small or without depth.

    A forearm must not matter: how much of it is visible depends on the picture's edge, not on the grasp. So
    the centre is taken from the part of the hand around the contact with the object, or, without an
    object, from a hand's length at the end that is away from where the arm enters the picture.
    """
    ys, xs = cells_of(hand)
    z = depth[hand]
    readings = _valid(z)
    if not readings.any():
        return None
    depth_m = _median(z[readings])
    if len(xs) < _MIN_HAND_AREA_M2 * (focal_px / depth_m) ** 2:
        return None
    px_per_m = focal_px / depth_m
    anchor_x, anchor_y, radius_m = _anchor(hand, held, xs, ys, px_per_m, edges, origin)
    squared = (xs - anchor_x) ** 2 + (ys - anchor_y) ** 2
    for _ in range(2):  # the radius in pixels needs the depth, the depth the radius; two rounds settle it
        near = readings & (squared <= max(1.0, radius_m * px_per_m) ** 2)
        if near.any():
            depth_m = _median(z[near])
            px_per_m = focal_px / depth_m
    x, y = _thick_middle(hand, held, anchor_x, anchor_y, max(1.0, radius_m * px_per_m))
    return x, y, depth_m


def _anchor(
    hand: Mask,
    held: Mask,
    xs: NDArray[np.intp],
    ys: NDArray[np.intp],
    px_per_m: float,
    edges: tuple[int, int, int, int],
    origin: tuple[int, int],
) -> tuple[float, float, float]:
    """The point around which the grasp lies and the radius (metres) that belongs to it."""
    contact = _contact(hand, held, px_per_m)
    length = math.hypot(float(np.ptp(xs)), float(np.ptp(ys)))
    # Within a hand nothing is farther from its tip than it is long: neither tip nor entry can matter then.
    if length <= (_WHOLE_HAND_M if contact is None else _HAND_LENGTH_M) * px_per_m:
        return float(xs.mean()), float(ys.mean()), _WHOLE_HAND_M
    tip, entry = tip_and_entry(xs, ys, px_per_m, edges, origin, contact)
    # What is touched far from the tip (but not where the arm begins: a sleeve) knows better where the hand is.
    if (
        contact is not None
        and math.dist(contact, tip) > _HAND_LENGTH_M * px_per_m
        and (entry is None or math.dist(contact, entry) >= 0.5 * math.dist(tip, entry))
    ):
        return *contact, _GRASP_RADIUS_M
    if length <= _WHOLE_HAND_M * px_per_m:
        return float(xs.mean()), float(ys.mean()), _WHOLE_HAND_M
    return *tip, _HAND_LENGTH_M


def _contact(hand: Mask, held: Mask, px_per_m: float) -> tuple[float, float] | None:
    """Mean of the hand's pixels next to the held object."""
    if not held.any():
        return None
    ys, xs = cells_of(grown(held, max(1, math.ceil(_CONTACT_GAP_M * px_per_m))) & hand)
    return (float(xs.mean()), float(ys.mean())) if len(xs) else None


def _thick_middle(hand: Mask, held: Mask, x: float, y: float, radius: float) -> tuple[float, float]:
    """The middle of hand and object around a point, thick parts counting more; always on one of them."""
    grasp = (hand | held).view(np.uint8)
    # The rim of zeros makes the picture's edge an outline like any other.
    thickness = cv2.distanceTransform(
        cv2.copyMakeBorder(grasp, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 3
    )[1:-1, 1:-1]
    height, width = grasp.shape
    columns, rows = np.arange(width), np.arange(height)
    weights = thickness * (((columns - x) ** 2 + ((rows - y) ** 2)[:, None]) <= radius**2)
    if not weights.any():
        weights = thickness  # nothing of the grasp is near
    of_columns, of_rows = (weights.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
    middle_x = _in_steps(float(of_columns @ columns / of_columns.sum()))
    middle_y = _in_steps(float(of_rows @ rows / of_rows.sum()))
    column, row = round(middle_x), round(middle_y)
    if grasp[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]:
        return middle_x, middle_y
    ys, xs = cells_of(weights > 0)
    best = int(np.argmax(weights[ys, xs] - np.hypot(xs - middle_x, ys - middle_y)))
    return float(xs[best]), float(ys[best])


def _in_steps(value: float) -> float:
    return round(value * _CENTER_STEPS_PER_PX) / _CENTER_STEPS_PER_PX


def _regions(mask: Mask, gap_px: float) -> NDArray[np.int32]:
    """Numbered regions (1, 2, ...) of a mask; parts closer than the gap belong together."""
    _, regions = cv2.connectedComponents(grown(mask, max(1, math.ceil(gap_px / 2))).view(np.uint8))
    regions *= mask
    return regions.astype(np.int32, copy=False)


def _median(values: NDArray[np.float32]) -> float:
    """As numpy's, of values none of which is NaN; numpy's own takes twice as long."""
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    low, high = np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1]
    return float((low + high) / np.float32(2))


def _valid(depth_m: NDArray[np.float32]) -> Mask:
    return (depth_m > 0) & (depth_m < np.inf)  # comparisons with NaN are false


def _check_range(range_m: float) -> None:
    if not (math.isfinite(range_m) and range_m > 0):
        raise ParameterError(f"depth range {range_m} m cannot be used; it must be finite and above 0")


def _check_frame(labels: Labels, depth_m: Depth) -> None:
    if labels.ndim != 2 or depth_m.ndim != 2:
        raise ImageError(f"labels and depth must be (height, width), got shapes {labels.shape} and {depth_m.shape}")
    if labels.shape != depth_m.shape:
        raise ImageError(
            f"labels are {labels.shape[1]}x{labels.shape[0]} but depth is "
            f"{depth_m.shape[1]}x{depth_m.shape[0]}; both must be of one size"
        )
