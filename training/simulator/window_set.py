"""Windows ready to train on, cut from simulated pictures as the node cuts them from camera pictures.

Masks come from the ground truth. Depth windows exist twice: as the sensor reads them (`images`) and without noise
(`clean`), both with the reference depth that the noisy picture gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.vision.window import cut_depth, cut_masks, find_windows

from .hand import JOINT_NAMES
from .scenes import rows_of_scenes
from .simulator import Sample, SimulatorSettings, render_scene

CHANNELS: dict[str, tuple[str, ...]] = {
    "masks": ("hand_mask", "object_mask"),
    "depth": ("depth",),
    "both": ("hand_mask", "object_mask", "depth"),
}
MIN_HAND_PIXELS = 40


@dataclass(frozen=True)
class WindowRow:
    """One window with its truth; images are uint8 0..255."""

    masks: NDArray[np.uint8]  # (2, S, S)
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
        if not 8 <= self.size <= 256:
            raise ParameterError(f"window size {self.size} px is not within 8 to 256")


def window_row(sample: Sample, shape: WindowSize) -> WindowRow | None:
    """The window of a sample, or None when hardly anything of the hand is in the picture or has a depth."""
    if np.count_nonzero(sample.labels == 1) < MIN_HAND_PIXELS:
        return None
    windows = find_windows(sample.labels, sample.depth_m, float(sample.k[0, 0]), shape.metric_size_m)
    if not windows:
        return None
    window = windows[0]
    noisy = cut_depth(sample.depth_m, sample.labels, window, shape.size, shape.range_m)
    clean = cut_depth(sample.clean_depth_m, sample.labels, window, shape.size, shape.range_m)
    return WindowRow(
        masks=_bytes(cut_masks(sample.labels, window, shape.size)),
        depth=_bytes(noisy),
        clean_depth=_bytes(clean),
        joints=sample.joints,
        grasp=sample.grasp,
        subject=sample.subject,
        left=sample.left,
    )


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _rows_of_scene(job: tuple[SimulatorSettings, int, WindowSize]) -> list[WindowRow]:
    settings, number, shape = job
    rows = (window_row(sample, shape) for sample in render_scene(settings, number))
    return [row for row in rows if row is not None]


def window_rows(settings: SimulatorSettings, shape: WindowSize, workers: int = 1) -> Iterator[WindowRow]:
    """Windows without end; the number of workers changes the speed, not the bytes."""
    return rows_of_scenes(_rows_of_scene, settings, shape, workers)


def arrays(rows: list[WindowRow], settings: SimulatorSettings, channels: str) -> dict[str, np.ndarray]:
    """What a file with these channels holds."""
    names = {name: number for number, name in enumerate(settings.grasps)}
    masks = np.stack([row.masks for row in rows])  # (N, 2, S, S)
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
        return {"images": masks, **content}
    if channels == "depth":
        return {"images": depth, "clean": clean, **content}
    return {"images": np.concatenate([masks, depth], 1), "clean": np.concatenate([masks, clean], 1), **content}
