"""The kinds of transforms there are and how far each goes; the command line and the settings take them from here.

No torch, so that help and manifests need none. What a kind does: the file of its name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tiae_ros.errors import ParameterError

KINDS = ("none", "shift", "roll", "rotation", "scale", "mirror", "background", "clutter", "blur", "gain")
POSES = ("rotation", "scale", "mirror")  # kinds that take a pose where a shift alone is two numbers
MOVEMENTS = ("none", "shift", "roll", *POSES)  # they move a pattern; the others change what is seen of it


def setting(default: Any, flag: str, help: str) -> Any:
    """A field of a settings dataclass with its flag on the command line and what that says of it."""
    return field(default=default, metadata={"flag": flag, "help": help})


@dataclass(frozen=True)
class Ranges:
    """How far each kind goes, when it is asked for."""

    shift_radius_px: int = setting(8, "--shift-radius", "largest shift in pixels")
    rotation_deg: float = setting(180.0, "--rotation", "largest angle of rotation or roll in degrees, both ways")
    scale_factor: float = setting(1.4, "--scale", "largest scale; the smallest is its inverse")
    clutter_px: int = setting(8, "--clutter", "side of the fragments of other windows in pixels")
    blur_px: float = setting(1.5, "--blur", "largest standard deviation of blur in pixels")
    gain_factor: float = setting(1.5, "--gain", "largest gain; the smallest is its inverse")

    def ranges(self) -> Ranges:
        """These alone, of a class that has more."""
        return Ranges(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Ranges)})


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
    if "roll" in kinds and set(POSES) & set(kinds):
        raise ParameterError(
            f"transforms {names!r} cannot be combined; accepted is roll (descriptors say the turn), or "
            f"{', '.join(POSES)} (the pose is found)"
        )
    return kinds
