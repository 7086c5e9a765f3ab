"""A list of names such as "shift,background" -> the transform."""

from __future__ import annotations

import math

from torch import Tensor

from tiae_training.transforms.background import Background
from tiae_training.transforms.blur import Blur
from tiae_training.transforms.clutter import Clutter
from tiae_training.transforms.composition import Composition
from tiae_training.transforms.gain import Gain
from tiae_training.transforms.ranges import POSES, Ranges, parse_kinds
from tiae_training.transforms.roll import Roll
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.similarity import Similarity
from tiae_training.transforms.transform import Identity, Transform

_SCALE_ANCHOR = 0.1  # per training step


def build_transform(
    names: str, ranges: Ranges | None = None, *, backgrounds: Tensor | None = None, patterns: Tensor | None = None
) -> Transform:
    """The transform of a comma-separated list such as "shift,background"; "none" is an ordinary auto-encoder.

    backgrounds: the pictures (M, C, H, W) that the kind background cuts from; patterns: the windows (N, C, S, S) that
    the kind clutter cuts its fragments from. Raises ParameterError.
    """
    ranges = ranges or Ranges()
    kinds = parse_kinds(names)
    movement: Transform
    if set(POSES) & set(kinds):
        movement = Similarity(
            ranges.shift_radius_px if "shift" in kinds else 0,
            math.radians(ranges.rotation_deg) if "rotation" in kinds else 0.0,
            ranges.scale_factor if "scale" in kinds else 1.0,
            anchor=_SCALE_ANCHOR,
            mirrors="mirror" in kinds,
        )
    elif "roll" in kinds:
        movement = Roll(ranges.shift_radius_px if "shift" in kinds else 0, math.radians(ranges.rotation_deg))
    else:
        movement = Shift(ranges.shift_radius_px) if "shift" in kinds else Identity()
    appearances = {  # in the order in which light meets them
        "background": lambda: Background(backgrounds),
        "clutter": lambda: Clutter(patterns, ranges.clutter_px),
        "blur": lambda: Blur(ranges.blur_px),
        "gain": lambda: Gain(ranges.gain_factor),
    }
    asked = [make() for name, make in appearances.items() if name in kinds]
    return Composition((movement, *asked)) if asked else movement
