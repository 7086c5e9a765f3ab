"""From frames with their truth to what the two networks learn from: grids and crops, kept in memory-mapped arrays.

A folder holds ``grids/`` and ``crops/``, each a set of .npy files with one row for each example. Crops are kept larger
than the network's (0.6 m, not turned), so that each training step cuts its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tiae_ros.vision.detection import proposals
from tiae_ros.vision.detection.close_up import Crop, crop_pictures
from tiae_training.world.clothes import ARM
from tiae_training.world.shards import StoredFrame

Row = dict[str, NDArray[np.generic]]

KEPT_CELLS, KEPT_SIDE_M = 160, 0.60
MOST_HANDS = 4
# A hand of which less is seen than this share of 70 square centimetres need not be found, nor is it wrong to.
LEAST_SHOWN = 0.25
_HAND_M2 = 0.0070
_APART_M = 0.13  # from a hand's middle: what is looked at there is no hand
GRID_HEIGHT, GRID_WIDTH = 192, 256


@dataclass(frozen=True)
class Hands:
    """Hands of a frame, a row each."""

    middle_px: NDArray[np.float64]  # (N, 2)
    arm: NDArray[np.float64]  # (N, 2)
    distance_m: NDArray[np.float64]  # (N,)
    left: NDArray[np.bool_]
    number: NDArray[np.int64]
    shown: NDArray[np.float64]  # how much of it is seen: share of 70 square centimetres of a grown hand
    plain: NDArray[np.bool_]  # enough of it is seen: it must be found


def hands_of(frame: StoredFrame) -> Hands:
    columns = frame.hands
    if not columns or not len(columns["distance_m"]):
        none, two = np.zeros(0), np.zeros((0, 2))
        return Hands(two, two, none, none.astype(bool), none.astype(int), none, none.astype(bool))
    distance = columns["distance_m"].astype(float)
    size = columns["size_m"].astype(float) / proposals.HAND_M
    whole = _HAND_M2 * (size * frame.focal_px / distance) ** 2
    middle = columns["middle_px"].astype(float)
    height, width = frame.labels.shape
    inside = (middle > 0).all(axis=1) & (middle[:, 0] < width - 1) & (middle[:, 1] < height - 1)
    shown = columns["shown_px"] / whole
    return Hands(
        middle,
        columns["arm_px"].astype(float),
        distance,
        columns["left"].astype(bool),
        columns["number"].astype(int),
        shown,
        (shown >= LEAST_SHOWN) & inside,
    )


def grid_row(frame: StoredFrame) -> Row:
    """The first network's example of a frame (4:3; others are put into the upper left)."""
    height, width = frame.labels.shape
    scale = GRID_WIDTH / max(width, height * GRID_WIDTH / GRID_HEIGHT)
    size = (round(width * scale), round(height * scale))
    row: Row = {
        "color": np.zeros((GRID_HEIGHT, GRID_WIDTH, 3), np.uint8),
        "depth_mm": np.zeros((GRID_HEIGHT, GRID_WIDTH), np.uint16),
        "labels": np.zeros((GRID_HEIGHT, GRID_WIDTH), np.uint8),
    }
    part = (slice(0, size[1]), slice(0, size[0]))
    row["color"][part] = proposals.reduced(frame.color, size)
    depth = cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST)
    row["depth_mm"][part] = np.clip(np.nan_to_num(depth * 1000), 0, 65534).astype(np.uint16)
    row["labels"][part] = cv2.resize(frame.labels, size, interpolation=cv2.INTER_NEAREST)
    row["focal"] = np.float32(frame.focal_px * scale)
    table = np.full((MOST_HANDS, 6), np.nan, np.float32)  # x, y in cells, arm x and y, length in cells, must be found
    hands = hands_of(frame)
    for n in range(min(MOST_HANDS, len(hands.distance_m))):
        x, y = (hands.middle_px[n] + 0.5) * scale - 0.5
        table[n] = x, y, *hands.arm[n], frame.focal_px * scale * proposals.HAND_M / hands.distance_m[n], hands.plain[n]
    row["hands"] = table
    return row


def crop_rows(frame: StoredFrame, rng: np.random.Generator, negatives: int = 2) -> list[Row]:
    """The second network's examples of a frame: each hand that can be seen, and places that are none."""
    hands = hands_of(frame)
    rows = [kept_crop(frame, hands.middle_px[n], hands.distance_m[n], n, hands) for n in np.flatnonzero(hands.plain)]
    for x, y, z in _places_without(frame, hands, rng, negatives):
        rows.append(kept_crop(frame, np.array([x, y]), z, None, hands))
    return rows


def kept_crop(
    frame: StoredFrame, middle: NDArray[np.float64], distance_m: float, hand: int | None, hands: Hands
) -> Row:
    """A larger crop with labels of that hand alone; of none: only zeros."""
    crop = Crop(middle[0], middle[1], KEPT_SIDE_M * frame.focal_px / distance_m, (0.0, 1.0), distance_m, KEPT_CELLS)
    color, depth = crop_pictures(frame.color, frame.depth_m, crop)
    assert color is not None
    labels = np.zeros((KEPT_CELLS, KEPT_CELLS), np.uint8)
    facts = np.zeros(6, np.float32)  # is a hand, left, arm x and y, distance, focal over the distance
    if hand is not None:
        own = np.where(frame.owner == hands.number[hand] + 1, frame.labels, 0).astype(np.uint8)
        labels = cv2.warpAffine(
            own, crop.to_picture, (KEPT_CELLS, KEPT_CELLS), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
        facts[:4] = 1, hands.left[hand], *hands.arm[hand]
    facts[4:] = distance_m, frame.focal_px / distance_m
    return {
        "color": color,
        "depth_mm": np.clip(np.nan_to_num(depth * 1000), 0, 65534).astype(np.uint16),
        "labels": labels,
        "facts": facts,
    }


def _places_without(
    frame: StoredFrame, hands: Hands, rng: np.random.Generator, count: int
) -> list[tuple[float, float, float]]:
    """Places (x, y, depth) on something near that is no hand's middle; arms and skin are preferred."""
    found = []
    near = (frame.depth_m > 0.22) & (frame.depth_m < 1.8)
    preferred = near & (frame.labels == ARM)
    for number in range(count):
        ys, xs = np.nonzero((preferred if number % 2 and preferred.any() else near)[::4, ::4])
        if not len(xs):
            continue
        pick = int(rng.integers(len(xs)))
        x, y = 4.0 * xs[pick], 4.0 * ys[pick]
        z = float(frame.depth_m[int(y), int(x)])
        if is_apart(x, y, z, frame.focal_px, hands):
            found.append((x, y, z))
    return found


def is_apart(x: float, y: float, depth_m: float, focal_px: float, hands: Hands) -> bool:
    """Whether a place is no hand's middle."""
    if not len(hands.distance_m):
        return True
    off = np.hypot(hands.middle_px[:, 0] - x, hands.middle_px[:, 1] - y) * hands.distance_m / focal_px
    return bool((off > _APART_M).all())


class RowsWriter:
    """A growing set of .npy files, one row for each example; `close` cuts them to what was added."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._arrays: dict[str, np.memmap] = {}
        self.count = 0
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self.count >= self._most:
                return
            for name, value in row.items():
                value = np.asarray(value)
                if name not in self._arrays:
                    path = self._folder / f"{name}.npy"
                    self._arrays[name] = open_memmap(path, "w+", value.dtype, (self._most, *value.shape))
                self._arrays[name][self.count] = value
            self.count += 1

    def close(self) -> None:
        (self._folder / "count.txt").write_text(f"{self.count}\n")
        for array in self._arrays.values():
            array.flush()


def read_rows(folder: Path) -> Row:
    """The arrays of a `RowsWriter`, memory-mapped."""
    count = int((folder / "count.txt").read_text())
    return {path.stem: np.load(path, mmap_mode="r")[:count] for path in sorted(folder.glob("*.npy"))}
