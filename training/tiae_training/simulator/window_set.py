"""Windows ready to train on, cut from simulated pictures as the node cuts them from camera pictures.

Masks come from the ground truth, or a share of them from a segmentation of the noisy pictures, as the node's do: then
what is to be restored are the true masks of the same window, and training unlearns that segmentation's mistakes. Depth
windows exist twice: as the sensor reads them (`images`) and without noise (`clean`), both with the reference depth that
the noisy picture gives.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.model.segmenter import SHIPPED, choose_segmentation
from tiae_ros.vision.cut_windows import cut_depth, cut_masks
from tiae_ros.vision.sight import Segmentation, sight_of_labels
from tiae_ros.vision.window import Window
from tiae_training.data.arrays import check_window_size

from .hand import JOINT_NAMES
from .scenes import rows_of_scenes
from .simulator import Sample, SimulatorSettings, render_scene

CHANNELS: dict[str, tuple[str, ...]] = {
    "masks": ("hand_mask", "object_mask"),
    "depth": ("depth",),
    "both": ("hand_mask", "object_mask", "depth"),
}
MIN_HAND_PIXELS = 40
_FOUND = 0.3  # overlap of the found hand with the true one, from which on its window is that hand's


@dataclass(frozen=True)
class WindowRow:
    """One window with its truth; images are uint8 0..255."""

    masks: NDArray[np.uint8]  # (2, S, S) as they are given to the network
    clean_masks: NDArray[np.uint8]  # (2, S, S) the true ones
    depth: NDArray[np.uint8]  # (1, S, S) as the sensor reads it
    clean_depth: NDArray[np.uint8]  # (1, S, S)
    joints: NDArray[np.float32]
    grasp: str
    subject: int
    left: bool


@dataclass(frozen=True)
class WindowSize:
    """How windows are cut; the same numbers stand in a model's manifest."""

    size: int = 32
    metric_size_m: float = 0.30
    range_m: float = 0.30

    def __post_init__(self) -> None:
        check_window_size(self.size)


@dataclass(frozen=True)
class Segmented:
    """How many of the windows are cut from masks that a segmentation network found."""

    share: float = 0.0
    network: str = SHIPPED  # a shipped model's name or a folder

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ParameterError(f"the share of segmented windows is {self.share}; it must be within 0 to 1")


def window_row(sample: Sample, shape: WindowSize, segmentation: Segmentation | None = None) -> WindowRow | None:
    """The window of a sample, or None when hardly anything of the hand is in the picture, found or has a depth."""
    if np.count_nonzero(sample.labels == 1) < MIN_HAND_PIXELS:
        return None
    focal = float(sample.k[0, 0])
    if segmentation is None:
        sight = sight_of_labels(sample.labels, sample.depth_m, focal, shape.metric_size_m)
    else:
        sight = segmentation.see(sample.rgb, sample.depth_m, focal_px=focal, metric_size_m=shape.metric_size_m)
    if not sight.hands:
        return None
    found, window = sight.labels, sight.hands[0].window

    def masks_of(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return _bytes(cut_masks(labels, window, shape.size))

    masks, true = masks_of(found), masks_of(sample.labels)
    if segmentation is not None and not _overlap(masks[0], true[0]) >= _FOUND:
        return None
    return WindowRow(
        masks=masks,
        clean_masks=true,
        depth=_depth(sample.depth_m, found, window, shape),
        clean_depth=_depth(sample.clean_depth_m, sample.labels, window, shape),
        joints=sample.joints,
        grasp=sample.grasp,
        subject=sample.subject,
        left=sample.left,
    )


def _overlap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Intersection over union of two masks of bytes; 0 where both are empty."""
    return float(np.minimum(one, other).sum() / max(1, np.maximum(one, other).sum()))


def _depth(
    depth_m: NDArray[np.float32], labels: NDArray[np.uint8], window: Window, shape: WindowSize
) -> NDArray[np.uint8]:
    return _bytes(cut_depth(depth_m, labels, window, shape.size, shape.range_m))


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _rows_of_scene(job: tuple[SimulatorSettings, int, tuple[WindowSize, Segmented]]) -> list[WindowRow]:
    settings, number, (shape, segmented) = job
    rng = np.random.default_rng((settings.seed, number))  # the number of workers does not change the bytes
    rows = []
    for sample in render_scene(settings, number):
        by_network = rng.random() < segmented.share
        rows.append(window_row(sample, shape, _network(segmented.network) if by_network else None))
    return [row for row in rows if row is not None]


@functools.lru_cache(maxsize=1)
def _network(model: str) -> Segmentation:
    return choose_segmentation("network", model)


def window_rows(
    settings: SimulatorSettings, shape: WindowSize, workers: int = 1, segmented: Segmented | None = None
) -> Iterator[WindowRow]:
    """Windows without end; the number of workers changes the speed, not the bytes.

    Raises ModelError for a segmentation network that cannot be read.
    """
    segmented = segmented or Segmented()
    if segmented.share:
        _network(segmented.network)  # complain before workers start
    return rows_of_scenes(_rows_of_scene, settings, (shape, segmented), workers)


def arrays(rows: list[WindowRow], settings: SimulatorSettings, channels: str) -> dict[str, np.ndarray]:
    """What a file with these channels holds."""
    names = {name: number for number, name in enumerate(settings.grasps)}
    masks = np.stack([row.masks for row in rows])  # (N, 2, S, S)
    true = np.stack([row.clean_masks for row in rows])
    depth = np.stack([row.depth for row in rows])  # (N, 1, S, S)
    clean = np.stack([row.clean_depth for row in rows])
    content: dict[str, np.ndarray] = {
        "labels": np.array([names[row.grasp] for row in rows], np.int64),
        "label_names": np.array(settings.grasps),
        "joints": np.stack([row.joints for row in rows]),
        "joint_names": np.array(JOINT_NAMES),
        "subjects": np.array([row.subject for row in rows], np.int64),
        "left_hand": np.array([row.left for row in rows]),
        "channels": np.array(CHANNELS[channels]),
    }
    if channels == "masks":
        return {"images": masks, **({} if np.array_equal(masks, true) else {"clean": true}), **content}
    if channels == "depth":
        return {"images": depth, "clean": clean, **content}
    return {"images": np.concatenate([masks, depth], 1), "clean": np.concatenate([true, clean], 1), **content}
