"""Where the grasps of a labelled frame are: a window of a fixed metric size on each."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.vision.arm_axis import bounding_box, cells_of, picture_edges, tip_and_entry
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels, Mask, check_one_size
from tiae_ros.vision.masks import distance_inside, grown
from tiae_ros.vision.window import Window, has_reading

# Sizes of a hand, from the breadth and length of adult hands (8-9 cm by 17-20 cm) with some slack.
_HAND_LENGTH_M = 0.17  # from the finger tips to the wrist
_GRASP_RADIUS_M = 0.11  # from where the object is touched to the far side of the palm
_CONTACT_GAP_M = 0.015  # depth shadows separate a finger from the thing it touches by about this much
_WHOLE_HAND_M = 0.24  # a hand region not longer than this carries no forearm worth cutting off
_MIN_HAND_AREA_M2 = 0.03**2  # less than three by three centimetres is not taken for a hand
# Centres are kept in steps that binary floating point adds to whole pixels without rounding.
_CENTER_STEPS_PER_PX = 64.0


def find_windows(labels: Labels, depth_m: Floats, focal_px: float, metric_size_m: float = 0.30) -> list[Window]:
    """One window per hand (with what it holds), the nearest first; empty when there is no hand.

    A hand none of whose pixels has a depth reading gets no window: its metric size is unknown.
    """
    check_one_size("labels", labels.shape, depth_m)
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
    readings = depth[hand & has_reading(depth)]
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


def _grasp_center(
    hand: Mask,
    held: Mask,
    depth: Floats,
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
    readings = has_reading(z)
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
    grasp = hand | held
    thickness = distance_inside(grasp)
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
