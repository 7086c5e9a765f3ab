"""What counts as a hand and as held, for all that finds hands."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tiae_ros.errors import ParameterError

STRIDE = 16  # cells; the network takes grids of a multiple of it
USUAL_FOCAL = 0.8  # focal length over the longer side; 0.54 (wide stereo) ... 0.96 (RealSense colour)


@dataclass(frozen=True)
class SegmentationSettings:
    """What counts as a hand and as held; lengths in metres."""

    grid_long_side: int = 160
    """Cells along the longer side of the picture; the work is done on them. The detector has a grid of its own."""
    depth_max_m: float = 1.5
    """What is farther away is neither hand nor object."""
    band_m: float = 0.30
    """A second hand may be this much farther away than the nearest."""
    skin_min: float = 6.0
    """Lower bound of the chosen skin threshold (see ``skin_score``); grey is 0, skin 10-50."""
    skin_max: float = 30.0
    """Upper bound of the chosen skin threshold."""
    skin_contrast_min: float = 4.0
    """A hand's score is this much above that of what surrounds it."""
    quality_min: float = 0.05
    """Least product (0 to 1) of a hand's size, contrast, share of readings and share of free outline."""
    hand_area_min_m2: float = 0.0025
    """Smaller regions (5 x 5 cm) are not hands: a fist seen from the front has some 50 square centimetres."""
    hand_area_max_m2: float = 0.12
    """Larger regions are not hands: a hand with a bare forearm has some 500 square centimetres."""
    hand_certainty_min: float = 0.77
    """Of the segmentation network alone: regions of cells with a lower mean probability of being hand are no hands."""
    hand_confidence_min: float = 0.5
    """Of the detector alone: what it is less sure of is no hand."""
    hand_views: int = 1
    """Of the detector alone: 2 looks at each place mirrored, too, and takes the mean."""
    object_area_min_m2: float = 0.0003
    """Smaller regions are left-overs at edges; the side of an eraser is 2 x 4 cm."""
    object_area_max_m2: float = 0.09
    """Larger things (30 x 30 cm) are furniture."""
    contact_m: float = 0.03
    """Depth difference up to which a thing beside the hand is touched by it."""
    gap_m: float = 0.015
    """Distance across the picture up to which two regions are neighbours (depth shadows lie between)."""
    plane_share: float = 0.12
    """A plane needs this share of the readings to be taken as table or wall."""
    plane_tolerance_m: float = 0.007
    """Distance from a plane up to which a reading belongs to it, at half a metre; grows with the depth."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ParameterError(f"{field.name} is {value!r}; it must be a finite number")
            if value <= 0:
                raise ParameterError(f"{field.name} is {value}; it must be above 0")
        if self.hand_views not in (1, 2):
            raise ParameterError(f"hand_views is {self.hand_views}; accepted are 1 and 2")
        if self.grid_long_side < 16:
            raise ParameterError(f"grid_long_side is {self.grid_long_side}; it must be at least 16")
        for low, high in (
            ("skin_min", "skin_max"),
            ("hand_area_min_m2", "hand_area_max_m2"),
            ("object_area_min_m2", "object_area_max_m2"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ParameterError(
                    f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}; it must not be"
                )


def usable_focal_px(focal_px: float | None, longer_px: int) -> float:
    """The focal length, or that of a usual camera where none is known."""
    if focal_px is not None and math.isfinite(focal_px) and focal_px > 0:
        return focal_px
    return USUAL_FOCAL * longer_px
