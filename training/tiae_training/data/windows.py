"""Windows with their truth, cut from rendered pictures as the node cuts them from camera pictures, ready to train on.

Masks are those that are found, or the true ones; what is to be restored are the true masks of the same window, so that
training unlearns a segmentation's mistakes. Depth exists twice: as the sensor reads it (`images`) and without noise
(`clean`), both with the reference depth that the noisy picture gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.cut_windows import cut_depth, cut_masks
from tiae_ros.vision.detail import cut_stored
from tiae_ros.vision.labels import Floats, Labels
from tiae_ros.vision.window import Window
from tiae_training.simulator.hand import JOINT_NAMES, KEYPOINTS

from .arrays import check_window_size

CHANNELS: dict[str, tuple[str, ...]] = {
    "masks": ("hand_mask", "object_mask"),
    "depth": ("depth",),
    "both": ("hand_mask", "object_mask", "depth"),
}
_LEAST_OVERLAP = 0.3  # of the found hand with the true one, from which on its window is that hand's


@dataclass(frozen=True)
class WindowSize:
    """How windows are cut; the same numbers stand in a model's manifest."""

    size: int = 32
    metric_size_m: float = 0.30
    range_m: float = 0.30
    details: bool = False  # keep one of each hand, too

    def __post_init__(self) -> None:
        check_window_size(self.size)


@dataclass(frozen=True)
class ShownHand:
    """What is known of the hand in a window."""

    joints: NDArray[np.floating[Any]]  # (25,) rad, JOINT_NAMES
    tips_mm: NDArray[np.float64]  # (5, 3) thumb to little, palm frame (of a left hand its mirror image)
    view: NDArray[np.float64]  # (3,) unit, from the hand to the camera in the palm frame (of a left hand mirrored)
    size_m: float  # wrist to the tip of the middle finger
    grasp: str
    subject: int
    left: bool
    keypoints: NDArray[np.float64] | None = (
        None  # (21, 3) `simulator.hand.KEYPOINTS`: x, y pixels of the picture, metres
    )


@dataclass(frozen=True)
class WindowRow:
    """One window with its truth; images are uint8 0..255."""

    masks: NDArray[np.uint8]  # (2, S, S) as they are given to the network
    clean_masks: NDArray[np.uint8]  # (2, S, S) the true ones
    depth: NDArray[np.uint8]  # (1, S, S) as the sensor reads it
    clean_depth: NDArray[np.uint8]  # (1, S, S)
    hand: ShownHand
    keypoints: NDArray[
        np.float32
    ]  # (21, 3) right and down from the window's middle in its pixels, metres beyond it; NaN
    detail: NDArray[np.uint8] | None = None  # (3, 80, 80) hand, object and depth as they are found


def cut_row(
    window: Window,
    found: Labels,
    true: Labels,
    depth_m: Floats,
    clean_depth_m: Floats,
    shape: WindowSize,
    hand: ShownHand,
) -> WindowRow | None:
    """One window of a picture (H, W); None where what was found is hardly that hand."""
    masks, clean_masks = (_bytes(cut_masks(labels, window, shape.size)) for labels in (found, true))
    if not _overlap(masks[0], clean_masks[0]) >= _LEAST_OVERLAP:
        return None
    depth, clean_depth = (
        _bytes(cut_depth(metres, labels, window, shape.size, shape.range_m))
        for metres, labels in ((depth_m, found), (clean_depth_m, true))
    )
    detail = None
    if shape.details:
        detail = _bytes(cut_stored(depth_m, found, window, window_size=shape.size, range_m=shape.range_m))
    return WindowRow(masks, clean_masks, depth, clean_depth, hand, _in_window(hand, window, shape.size), detail)


def _in_window(hand: ShownHand, window: Window, size: int) -> NDArray[np.float32]:
    """Keypoints from the middle of a window and from its depth, (21, 3); NaN where they are not known."""
    if hand.keypoints is None:
        return np.full((len(KEYPOINTS), 3), np.nan, np.float32)
    from_middle = hand.keypoints - [window.center_x, window.center_y, window.depth_m]
    return (from_middle * [size / window.side_px, size / window.side_px, 1.0]).astype(np.float32)


def window_arrays(
    rows: Sequence[WindowRow], grasps: Sequence[str], channels: str, shape: WindowSize
) -> dict[str, np.ndarray]:
    """What a file with these channels (a key of CHANNELS) holds; `grasps` names the labels."""
    number = {name: n for n, name in enumerate(grasps)}
    masks = np.stack([row.masks for row in rows])  # (N, 2, S, S)
    true = np.stack([row.clean_masks for row in rows])
    depth = np.stack([row.depth for row in rows])  # (N, 1, S, S)
    clean = np.stack([row.clean_depth for row in rows])
    hands = [row.hand for row in rows]
    content: dict[str, np.ndarray] = {
        "labels": np.array([number[hand.grasp] for hand in hands], np.int64),
        "label_names": np.array(grasps),
        "joints": np.stack([hand.joints for hand in hands]).astype(np.float32),
        "joint_names": np.array(JOINT_NAMES),
        "tips_mm": np.stack([hand.tips_mm for hand in hands]).astype(np.float32),
        "view": np.stack([hand.view for hand in hands]).astype(np.float32),
        "hand_size_m": np.array([hand.size_m for hand in hands], np.float32),
        "subjects": np.array([hand.subject for hand in hands], np.int64),
        "left_hand": np.array([hand.left for hand in hands]),
        "channels": np.array(CHANNELS[channels]),
        "metric_size_m": np.array(shape.metric_size_m),
        "range_m": np.array(shape.range_m),
        "keypoints": np.stack([row.keypoints for row in rows]),
    }
    if shape.details and channels == "both":
        content["details"] = np.stack([row.detail for row in rows if row.detail is not None])
    if channels == "masks":
        return {"images": masks, **({} if np.array_equal(masks, true) else {"clean": true}), **content}
    if channels == "depth":
        return {"images": depth, "clean": clean, **content}
    return {"images": np.concatenate([masks, depth], 1), "clean": np.concatenate([true, clean], 1), **content}


def _overlap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Intersection over union of two masks of bytes; 0 where both are empty."""
    return float(np.minimum(one, other).sum() / max(1, np.maximum(one, other).sum()))


def _bytes(values: Floats) -> NDArray[np.uint8]:
    return np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8)
