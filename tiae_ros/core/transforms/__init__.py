"""The kinds of transforms an auto-encoder can be made invariant to, behind one small interface.

A kind says how to draw its parameter, how to apply it, and which transformed input a restored pattern is nearest
to (the ``min over θ`` of the restoration term). An ordinary auto-encoder is the kind `Identity`. One file per kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from tiae_ros.core.transforms.background import Background
from tiae_ros.core.transforms.blur import Blur
from tiae_ros.core.transforms.clutter import Clutter
from tiae_ros.core.transforms.composition import Composition, cover
from tiae_ros.core.transforms.gain import Gain
from tiae_ros.core.transforms.shift import Shift
from tiae_ros.core.transforms.similarity import Similarity
from tiae_ros.core.transforms.transform import Identity, Transform
from tiae_ros.errors import ParameterError

KINDS = ("none", "shift", "rotation", "scale", "background", "clutter", "blur", "gain")
_SCALE_ANCHOR = 0.1  # per training step

__all__ = [
    "KINDS",
    "Background",
    "Blur",
    "Clutter",
    "Composition",
    "Gain",
    "Identity",
    "Ranges",
    "Shift",
    "Similarity",
    "Transform",
    "build_transform",
    "cover",
    "parse_kinds",
]


@dataclass(frozen=True)
class Ranges:
    """How far each kind goes, when it is asked for."""

    shift_radius_px: int = 8
    rotation_deg: float = 180.0
    scale_factor: float = 1.4
    clutter_px: int = 8
    blur_px: float = 1.5
    gain_factor: float = 1.5


def parse_kinds(names: str) -> tuple[str, ...]:
    """The kinds of a comma-separated list such as "shift,rotation". Raises ParameterError naming those there are."""
    kinds = tuple(name.strip() for name in names.split(","))
    for kind in kinds:
        if kind not in KINDS:
            raise ParameterError(f"unknown transform {kind!r}; accepted are {', '.join(KINDS)}")
        if kinds.count(kind) > 1:
            raise ParameterError(f"transforms {names!r} name {kind} twice; accepted is each kind once")
    if "none" in kinds and len(kinds) > 1:
        raise ParameterError(f"transforms {names!r} cannot be combined; accepted is none alone, or other kinds")
    return kinds


def build_transform(
    names: str,
    *,
    shift_radius_px: int = 8,
    ranges: Ranges | None = None,
    backgrounds: Tensor | None = None,
    patterns: Tensor | None = None,
) -> Transform:
    """The transform of a comma-separated list such as "shift,background"; "none" is an ordinary auto-encoder.

    backgrounds: the pictures (M, C, H, W) that the kind background cuts from; patterns: the windows (N, C, S, S) that
    the kind clutter cuts its fragments from. Raises ParameterError.
    """
    ranges = ranges or Ranges(shift_radius_px=shift_radius_px)
    kinds = parse_kinds(names)
    movement: Identity | Shift | Similarity
    if "rotation" in kinds or "scale" in kinds:
        movement = Similarity(
            ranges.shift_radius_px if "shift" in kinds else 0,
            math.radians(ranges.rotation_deg) if "rotation" in kinds else 0.0,
            ranges.scale_factor if "scale" in kinds else 1.0,
            anchor=_SCALE_ANCHOR,
        )
    else:
        movement = Shift(ranges.shift_radius_px) if "shift" in kinds else Identity()
    if not {"background", "clutter", "blur", "gain"} & set(kinds):
        return movement
    return Composition(
        movement,
        Background(backgrounds) if "background" in kinds else None,
        Clutter(patterns, ranges.clutter_px) if "clutter" in kinds else None,
        Blur(ranges.blur_px) if "blur" in kinds else None,
        Gain(ranges.gain_factor) if "gain" in kinds else None,
    )
