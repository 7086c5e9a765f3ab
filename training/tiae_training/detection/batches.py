"""Batches for the two looks: examples of the memory-mapped rows, each time turned, mirrored, worsened anew."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.close_up import CELLS, CORE_M, FAR_FACTOR, SIDE_M
from tiae_ros.vision.labels import HAND
from tiae_training.data.poor_depth import lingering, poor_depth

from .examples import KEPT_CELLS, KEPT_SIDE_M

Rows = dict[str, NDArray[np.generic]]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Worse:
    """Shares of examples."""

    colorless: float = 0.15
    holed: float = 0.3
    other_background: float = 0.2
    poor_depth: float = 0.0


def _holes(depth: NDArray[np.uint16], rng: np.random.Generator) -> None:
    """Blobs without a reading, as passive stereo has them on plain skin."""
    height, width = depth.shape
    cells = int(rng.integers(3, 14))
    field = cv2.resize(rng.random((height // cells + 2, width // cells + 2), dtype=np.float32), (width, height))
    depth[field < rng.uniform(0.05, 0.45)] = 0


def _poor(depth: NDArray[np.uint16], hand: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint16]:
    """As a matcher of large windows or a filter over time reads it, or (a fifth) as it is; colour has to tell."""
    metres = depth.astype(np.float32) / 1000
    if rng.random() < 0.35:
        metres = lingering(metres, rng)
    if rng.random() < 0.75:
        metres = poor_depth(metres, hand, rng)
    return np.rint(1000 * metres).astype(np.uint16)


def _painted(color: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, contrast, gamma, hue and saturation changed; at times blurred or noisy."""
    gain, lift = rng.uniform(0.75, 1.3, 3) * rng.uniform(0.8, 1.2), rng.uniform(-18, 18)
    gamma = np.exp(rng.normal(0, 0.2))
    table = np.clip(255 * (np.arange(256)[:, None] / 255) ** gamma * gain + lift, 0, 255).astype(np.uint8)
    color = cv2.LUT(color, table[None])
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        kept = rng.uniform(0.2, 1.5)
        color = cv2.addWeighted(color, kept, grey, 1 - kept, 0)
    if rng.random() < 0.2:
        color = cv2.GaussianBlur(color, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.2:
        noise = rng.integers(-128, 128, color.shape, dtype=np.int8) * np.float32(rng.uniform(0.02, 0.15))
        color = np.clip(color + noise, 0, 255).astype(np.uint8)
    return color


# --- the first look ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GridBatch:
    planes: Floats  # (B, 6, H, W)
    heat: Floats  # (B, h, w) 0..1
    counts: Floats  # (B, h, w) 0 where the answer does not matter
    places: Floats  # (B, 5, h, w) x, y, arm x, arm y, log length
    known: Floats  # (B, h, w) where places are told
    area: Floats  # (B, h, w) share of hand


def grid_batch(rows: Rows, chosen: NDArray[np.int64], rng: np.random.Generator, worse: Worse) -> GridBatch:
    made = [_grid_example(rows, int(number), rng, worse) for number in chosen]
    return GridBatch(*(np.stack(parts) for parts in zip(*made, strict=True)))


def _grid_example(rows: Rows, number: int, rng: np.random.Generator, worse: Worse) -> tuple[Floats, ...]:
    color, depth = np.array(rows["color"][number]), np.array(rows["depth_mm"][number])
    labels, hands, focal = (
        np.array(rows["labels"][number]),
        np.array(rows["hands"][number]),
        float(rows["focal"][number]),
    )
    if "real" in rows and (labels > 0).any() and rng.random() < worse.other_background:
        color, depth = _on_real(rows, color, depth, labels, rng)
    height, width = depth.shape
    if rng.random() < 0.5:
        color, depth, labels = color[:, ::-1], depth[:, ::-1], labels[:, ::-1]
        hands[:, 0], hands[:, 2] = width - 1 - hands[:, 0], -hands[:, 2]
    if rng.random() < 0.4:
        color, depth, labels = color[::-1], depth[::-1], labels[::-1]
        hands[:, 1], hands[:, 3] = height - 1 - hands[:, 1], -hands[:, 3]
    depth = np.ascontiguousarray(depth)
    colorless = rng.random() < worse.colorless
    if not colorless and rng.random() < worse.poor_depth:
        depth = _poor(depth, labels == HAND, rng)
    if rng.random() < worse.holed:
        _holes(depth, rng)
    metres = depth.astype(np.float32) / 1000
    shown = None if colorless else _painted(np.ascontiguousarray(color), rng)
    planes = proposals.planes_of(shown, metres, focal)
    block = proposals.BLOCK
    h, w = height // block, width // block
    heat, counts = np.zeros((h, w), np.float32), np.ones((h, w), np.float32)
    places, known = np.zeros((5, h, w), np.float32), np.zeros((h, w), np.float32)
    ys, xs = np.mgrid[0:h, 0:w]
    there = hands[np.isfinite(hands[:, 0])]
    for x, y, ax, ay, length, plain in there[np.argsort(there[:, 5], kind="stable")]:  # what must be found comes last
        bx, by = (x + 0.5) / block - 0.5, (y + 0.5) / block - 0.5
        away = (xs - bx) ** 2 + (ys - by) ** 2
        reach = max(0.22 * length / block, 0.6)
        if not plain:
            counts[away < (2 * reach) ** 2] = 0
            continue
        np.maximum(heat, np.exp(-away / (2 * reach**2)), out=heat)
        near = away <= max(1.0, reach) ** 2
        column, row = int(np.clip(round(bx), 0, w - 1)), int(np.clip(round(by), 0, h - 1))
        near[row, column] = True
        heat[row, column] = 1.0
        counts[row, column] = 1.0
        known[near] = 1.0
        places[0][near], places[1][near] = (bx - xs)[near], (by - ys)[near]
        places[2][near], places[3][near] = ax, ay
        places[4][near] = proposals.log_length(length)
    area = cv2.resize((labels == 1).astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    return planes, heat, counts, places, known, area


def _on_real(
    rows: Rows, color: NDArray[np.uint8], depth: NDArray[np.uint16], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """What belongs to hands before a real room, where the room lies behind; else as it was."""
    real = rows["real"]
    pick = int(real[rng.integers(len(real))])
    other, behind = np.array(rows["color"][pick]), np.array(rows["depth_mm"][pick])
    if rng.random() < 0.5:
        other, behind = other[:, ::-1], behind[:, ::-1]
    own = labels > 0
    if (own & (behind > 0) & (depth > behind) & (depth > 0)).sum() > 0.1 * own.sum():
        return color, depth
    return np.where(own[..., None], color, other), np.where(own, depth, behind)


# --- the second look --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CropBatch:
    planes: Floats  # (B, 5, 96, 96)
    labels: NDArray[np.int64]  # (B, 96, 96)
    is_hand: Floats  # (B,)
    left: Floats  # (B,)
    middle: Floats  # (B, 2) of half a side
    arm: Floats  # (B, 2)


def crop_batch(rows: Rows, chosen: NDArray[np.int64], rng: np.random.Generator, worse: Worse) -> CropBatch:
    made = [_crop_example(rows, int(number), rng, worse) for number in chosen]
    planes, labels, facts = (np.stack(parts) for parts in zip(*made, strict=True))
    return CropBatch(planes, labels.astype(np.int64), facts[:, 0], facts[:, 1], facts[:, 2:4], facts[:, 4:6])


def _crop_example(rows: Rows, number: int, rng: np.random.Generator, worse: Worse) -> tuple[Floats, ...]:
    color, depth, labels = (np.array(rows[name][number]) for name in ("color", "depth_mm", "labels"))
    is_hand, left, ax, ay, distance, _ = (float(value) for value in rows["facts"][number])
    if is_hand and rng.random() < worse.other_background:
        other = int(rng.integers(len(rows["facts"])))
        if not rows["facts"][other][0]:
            own = labels > 0
            behind = np.array(rows["depth_mm"][other]).astype(np.float32)
            off = 1000 * distance - np.median(behind[behind > 0]) if (behind > 0).any() else 0.0
            behind = np.where(behind > 0, np.maximum(behind + off + rng.uniform(20, 250), 1), 0)
            color = np.where(own[..., None], color, rows["color"][other])
            depth = np.where(own, depth, behind).astype(np.uint16)
    mirrored = rng.random() < 0.5
    if mirrored:
        color, depth, labels = (np.ascontiguousarray(part[:, ::-1]) for part in (color, depth, labels))
        ax, left = -ax, 1 - left
    colorless = rng.random() < worse.colorless
    if not colorless and rng.random() < worse.poor_depth:
        depth = _poor(depth, labels == HAND, rng)
    if rng.random() < worse.holed:
        _holes(depth, rng)
    # The crop that is cut: a little beside, a little larger or smaller, not quite upright.
    turn = rng.normal(0, np.radians(18)) if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)
    if not is_hand:
        turn = rng.uniform(-np.pi, np.pi)
        ax, ay = 0.0, 1.0
    base = np.arctan2(ax, ay) + turn  # of the direction that comes to lie downwards
    scale = float(np.exp(np.clip(rng.normal(0, 0.11), -0.3, 0.3)))
    # Of proposals that are hands, one in ten lies more than 6 cm beside the hand's middle.
    off = rng.uniform(-0.07, 0.07, 2) if rng.random() < 0.25 else np.clip(rng.normal(0, 0.018, 2), -0.05, 0.05)
    per_cell = KEPT_CELLS / KEPT_SIDE_M
    c, s = np.cos(base), np.sin(base)
    step = scale * SIDE_M / CELLS * per_cell
    middle = (KEPT_CELLS - 1) / 2 + off * per_cell
    way = np.array([[c * step, s * step, 0], [-s * step, c * step, 0]])
    way[:, 2] = middle - way[:, :2] @ np.full(2, (CELLS - 1) / 2)
    size = (CELLS, CELLS)
    if colorless:
        shown = None
    else:
        shown = cv2.warpAffine(
            _painted(color, rng),
            way,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    metres = cv2.warpAffine(depth, way, size, flags=nearest).astype(np.float32) / 1000
    classes = cv2.warpAffine(labels, way, size, flags=nearest)
    reference = _reference(metres, distance * rng.normal(1, 0.04)) + rng.normal(0, 0.006)
    planes = close_up.planes_of(shown, metres, reference)
    to_crop = np.array([[c, -s], [s, c]])  # a direction of the kept crop in the cut one
    at = to_crop @ -off / (scale * SIDE_M / 2)
    down = to_crop @ [ax, ay]
    return planes, classes, np.array([is_hand, left, *at, *down], np.float32)


def _reference(metres: Floats, supposed: float) -> float:
    """As `close_up.crop_at` takes it."""
    radius = round(CORE_M / SIDE_M * CELLS)
    middle = CELLS // 2
    part = metres[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    near = part[(part > supposed / FAR_FACTOR) & (part < supposed * FAR_FACTOR)]
    return float(np.median(near)) if near.size >= 4 else supposed
