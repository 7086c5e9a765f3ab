"""Segmentation from colour and registered depth, nothing learned; taken by explicit choice only.

It takes most rooms without a hand for one (docs/hands.md).
"""

from tiae_ros.vision.segmentation.classical.segment import segment


class ClassicalSegmentation:
    """`segment` in the shape of a segmentation network."""

    name = "classical"
    segment = staticmethod(segment)


__all__ = ["ClassicalSegmentation", "segment"]
