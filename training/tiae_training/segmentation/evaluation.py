"""What a segmentation network is worth on labelled frames, at its own grid, without any cleaning. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import HAND, NONE, OBJECT, Floats, Picture
from tiae_ros.vision.segmentation.network import NetworkSegmentation
from tiae_ros.vision.segmentation.planes import planes_of
from tiae_training.segmentation.frames import FrameArrays


def evaluate(segmentation: NetworkSegmentation, frames: FrameArrays, *, use_color: bool = True) -> dict[str, float]:
    """Intersection over union of all cells of the frames: hand_iou, object_iou."""
    both, either = np.zeros(3), np.zeros(3)
    for index, true in enumerate(frames.labels):
        found = scores_of(segmentation, frames, index, use_color=use_color).argmax(0)
        for value in (HAND, OBJECT):
            both[value] += ((found == value) & (true == value)).sum()
            either[value] += ((found == value) | (true == value)).sum()
    shares = both / np.maximum(either, 1)
    return {"hand_iou": float(shares[HAND]), "object_iou": float(shares[OBJECT])}


def hard_negatives(segmentation: NetworkSegmentation, frames: FrameArrays, least_m2: float = 4e-4) -> NDArray[np.int64]:
    """Indices of the frames without a hand in which the network sees at least so many square metres of one."""
    chosen = []
    for index, true in enumerate(frames.labels):
        if (true != NONE).any():
            continue
        hand = scores_of(segmentation, frames, index).argmax(0) == HAND
        depth_m = frames.depth_m(index)
        if np.square(depth_m[hand] / frames.focal_px[index]).sum() >= least_m2:
            chosen.append(index)
    return np.array(chosen, np.int64)


def scores_of(segmentation: NetworkSegmentation, frames: FrameArrays, index: int, *, use_color: bool = True) -> Floats:
    """Class scores (3, H, W) of one frame."""
    color: Picture | None = frames.color[index] if use_color else None
    return segmentation.scores(planes_of(color, frames.depth_m(index), float(frames.focal_px[index])))
