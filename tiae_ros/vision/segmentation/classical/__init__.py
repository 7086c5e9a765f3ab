"""Segmentation from colour and registered depth, nothing learned; taken by explicit choice only.

It takes most rooms without a hand for one (docs/explanation/limits.md).
"""

from __future__ import annotations

from tiae_ros.vision.labels import Floats, Labels, Picture
from tiae_ros.vision.segmentation.classical.segment import segment
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation


class ClassicalSegmentation(Segmentation):
    """`segment` in the shape of what finds hands by networks."""

    name = "classical"

    def segment(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """As the function `segment`."""
        return segment(color, depth_m, settings, focal_px=focal_px)


__all__ = ["ClassicalSegmentation", "segment"]
