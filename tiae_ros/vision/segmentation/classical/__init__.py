"""Segmentation from colour and registered depth, nothing learned; taken by explicit choice only.

It takes most rooms without a hand for one (docs/hands.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from tiae_ros.vision.labels import Floats, Picture
from tiae_ros.vision.segmentation.classical.segment import segment
from tiae_ros.vision.segmentation.settings import SegmentationSettings, usable_focal_px
from tiae_ros.vision.sight import WHOLE_PICTURE, FoundHand, Sight, sight_of_labels


class ClassicalSegmentation:
    """`segment` in the shape of the hand detector."""

    name = "classical"
    segment = staticmethod(segment)

    def see(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
        metric_size_m: float = 0.30,
        before: Sequence[FoundHand] = (),
    ) -> Sight:
        """As `HandDetector.see`; nothing is followed."""
        labels = segment(color, depth_m, settings, focal_px=focal_px)
        focal = usable_focal_px(focal_px, max(depth_m.shape))
        return sight_of_labels(labels, depth_m, focal, metric_size_m, WHOLE_PICTURE)


__all__ = ["ClassicalSegmentation", "segment"]
