"""The kinds of transforms an auto-encoder can be made invariant to, behind one small interface.

A kind says how to draw its parameter, how to apply it, and which transformed input a restored pattern is nearest
to (the ``min over θ`` of the restoration term). An ordinary auto-encoder is the kind `Identity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tiae_ros.core.shifts import best_shifts, draw_shifts, shift_images
from tiae_ros.errors import ParameterError


class Transform(Protocol):
    """One kind of transform of windows (N, C, H, W) with parameters (N, P)."""

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Random parameters, (count, P)."""

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """T_θ: every image by its own parameter."""

    def nearest(self, restored: Tensor, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """min over θ: the transformed targets nearest to the restored patterns, and the shifts (N, 2) found.

        images decide the parameter; targets are transformed by it (they differ where a clean version of the input
        is known). The shift returned moves the restored pattern onto the image.
        """

    def ranges(self) -> dict[str, dict[str, float]]:
        """What a manifest says of it."""


@dataclass(frozen=True)
class Identity:
    """Θ = {identity}: with it the objective is an ordinary auto-encoder's."""

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        return torch.zeros(count, 2, dtype=torch.long, device=device)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images

    def nearest(self, restored: Tensor, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return targets, torch.zeros(len(images), 2, dtype=torch.long, device=images.device)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {}


@dataclass(frozen=True)
class Shift:
    """All whole-pixel shifts up to ±radius (slides: ±8 px of a 32×32 window, 289 shifts).

    The minimum is searched over ±2·radius: a restored pattern may stand anywhere in its window, so the shift
    between it and an input can be as large as that between two inputs.
    """

    radius_px: int = 8

    def __post_init__(self) -> None:
        if type(self.radius_px) is not int or not 1 <= self.radius_px <= 64:
            raise ParameterError(f"shift radius is {self.radius_px!r}; accepted is a whole number of pixels, 1 to 64")

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        return draw_shifts(count, self.radius_px, generator, device)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        return shift_images(images, parameters)

    def nearest(self, restored: Tensor, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        shifts, _ = best_shifts(restored, targets, 2 * self.radius_px)
        return shift_images(targets, -shifts), shifts

    def ranges(self) -> dict[str, dict[str, float]]:
        return {"shift": {"radius_px": self.radius_px}}


KINDS = ("none", "shift")


def build_transform(names: str, *, shift_radius_px: int = 8) -> Transform:
    """The transform of a comma-separated list such as "shift"; "none" is an ordinary auto-encoder.

    Raises ParameterError that names the kinds that exist.
    """
    kinds = [name.strip() for name in names.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise ParameterError(f"unknown transform {kind!r}; accepted are {', '.join(KINDS)}")
    if len(kinds) != 1:
        raise ParameterError(f"transforms {names!r} cannot be combined; accepted is one of {', '.join(KINDS)}")
    return Identity() if kinds == ["none"] else Shift(shift_radius_px)
