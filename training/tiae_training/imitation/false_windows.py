"""Windows that the node would cut in rooms without a hand, where its detector is wrong: (M, C, S, S)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiae_ros.model.manifest import Manifest
from tiae_ros.vision.cut_windows import cut_grasp, cut_masks
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation
from tiae_training.imitation.rows import Floats
from tiae_training.world.shards import StoredFrame

_LEAST_CONFIDENCE = 0.02  # far below the node's own: there are few enough


def false_windows(frames: Sequence[StoredFrame], finders: Sequence[Segmentation], of: Manifest) -> Floats:
    """Every window of frames without a hand, and of their mirror images, as a model's windows are cut."""
    size_m, range_m = (float(of.preprocessing.get(name, 0.3)) for name in ("metric_size_m", "range_m"))
    limits = SegmentationSettings(hand_confidence_min=_LEAST_CONFIDENCE)
    found = []
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
                        found.append(cut_masks(sight.labels, hand.window, of.window_size))
                    else:
                        found.append(cut_grasp(depth_m, sight.labels, hand.window, of.window_size, range_m))
    shape = (len(of.channels), of.window_size, of.window_size)
    return np.stack(found).astype(np.float32) if found else np.zeros((0, *shape), np.float32)
