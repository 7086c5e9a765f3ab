"""What is seen in a picture: labels, and a hand with its window for each grasp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.labels import Floats, Labels, Picture
from tiae_ros.vision.segmentation.settings import SegmentationSettings, usable_focal_px
from tiae_ros.vision.window import Window

if TYPE_CHECKING:
    from tiae_ros.vision.detection.close_up import Crop

WHOLE_PICTURE, FOLLOWED, GIVEN = "whole picture", "followed", "given"


@dataclass(frozen=True)
class FoundHand:
    """One hand of a picture. What only the detector knows is None elsewhere."""

    window: Window
    confidence: float | None = None  # 0..1, calibrated: of those that say .9, nine in ten are hands
    left: float | None = None  # 0..1
    crop: Crop | None = None  # where it was looked at
    middle: tuple[float, float] | None = None  # of the hand, in pixels
    arm: tuple[float, float] | None = None  # unit direction in the picture from the hand to its arm
    # 0..1, not calibrated: of the whole picture's look that found it, kept while it is followed. One half says nothing.
    proposal_score: float = 0.5


@dataclass(frozen=True)
class Sight:
    """What is seen in a picture."""

    labels: Labels  # (H, W) 0 none, 1 hand (with arm), 2 what it holds
    hands: list[FoundHand]  # the nearest first
    road: str  # WHOLE_PICTURE, FOLLOWED, or GIVEN where labels came from elsewhere


def sight_of_labels(labels: Labels, depth_m: Floats, focal_px: float, metric_size_m: float, road: str = GIVEN) -> Sight:
    """Windows of labels that somebody else found; errors as `find_windows`."""
    windows = find_windows(labels, depth_m, focal_px, metric_size_m)
    return Sight(labels, [FoundHand(window) for window in windows], road)


class Segmentation:
    """What finds hands and what they hold.

    Of what gives labels alone, windows are found in them, and nothing is followed; the detector has a `see` of its own.
    """

    name: str
    """For people and diagnostics."""

    def segment(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """Labels (H, W): 0 none, 1 hand, 2 what it holds."""
        raise NotImplementedError

    def see(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
        metric_size_m: float = 0.30,
        before: Sequence[FoundHand] = (),
        redetect: bool = False,
    ) -> Sight:
        """As `HandDetector.see`."""
        labels = self.segment(color, depth_m, settings, focal_px=focal_px)
        focal = usable_focal_px(focal_px, max(depth_m.shape))
        return sight_of_labels(labels, depth_m, focal, metric_size_m, WHOLE_PICTURE)
