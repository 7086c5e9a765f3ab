"""Windows that the node would cut in rooms without a hand, where its detector is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.model.manifest import Manifest
from tiae_ros.vision.cut_windows import cut_grasp, cut_masks
from tiae_ros.vision.detail import CHANNELS, STORED_PX, cut_stored
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation
from tiae_training.imitation.rows import Floats
from tiae_training.world.shards import StoredFrame

_LEAST_CONFIDENCE = 0.02  # far below the node's own: there are few enough


@dataclass(frozen=True)
class NoHands:
    """M windows of what is no hand."""

    windows: Floats  # (M, C, S, S) 0..1
    details: NDArray[np.uint8]  # (M, 3, 80, 80)

    def __len__(self) -> int:
        return len(self.windows)


def false_windows(frames: Sequence[StoredFrame], finders: Sequence[Segmentation], of: Manifest) -> NoHands:
    """Every window of frames without a hand, and of their mirror images, as a model's windows are cut."""
    size_m, range_m = (float(of.preprocessing.get(name, 0.3)) for name in ("metric_size_m", "range_m"))
    limits = SegmentationSettings(hand_confidence_min=_LEAST_CONFIDENCE)
    windows, details = [], []
    for frame in frames:
        for step in (1, -1):
            color, depth_m = (
                np.ascontiguousarray(frame.color[:, ::step]),
                np.ascontiguousarray(frame.depth_m[:, ::step]),
            )
            for finder in finders:
                sight = finder.see(color, depth_m, limits, focal_px=frame.focal_px, metric_size_m=size_m)
                for hand in sight.hands:
                    if len(of.channels) == 2:
                        windows.append(cut_masks(sight.labels, hand.window, of.window_size))
                    else:
                        windows.append(cut_grasp(depth_m, sight.labels, hand.window, of.window_size, range_m))
                    details.append(
                        cut_stored(depth_m, sight.labels, hand.window, window_size=of.window_size, range_m=range_m)
                    )
    shape = (len(of.channels), of.window_size, of.window_size)
    fine = np.array(details, np.float32).reshape(-1, CHANNELS, STORED_PX, STORED_PX)
    return NoHands(np.array(windows, np.float32).reshape(-1, *shape), np.rint(255 * fine).astype(np.uint8))
