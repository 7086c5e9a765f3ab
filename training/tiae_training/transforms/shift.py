"""Shifts by whole pixels, with the exact minimum over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tiae_ros.errors import ParameterError
from tiae_training.transforms.shifts import best_shifts, draw_shifts, shift_images
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True)
class Shift(Transform):
    """All whole-pixel shifts up to ±radius (slides: ±8 px of a 32×32 window, 289 shifts).

    The minimum is searched over ±2·radius: a restored pattern may stand anywhere in its window, so the shift
    between it and an input can be as large as that between two inputs.
    """

    radius_px: int = 8

    columns = ("dx", "dy")

    def __post_init__(self) -> None:
        if type(self.radius_px) is not int or not 1 <= self.radius_px <= 64:
            raise ParameterError(f"shift radius is {self.radius_px!r}; accepted is a whole number of pixels, 1 to 64")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return draw_shifts(count, self.radius_px, generator).float()

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        return shift_images(images, parameters.long())

    def invert(self, images: Tensor, parameters: Tensor) -> Tensor:
        return shift_images(images, -parameters.long())

    def best(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> Tensor:
        shifts, _ = best_shifts(restored, targets, 2 * self.radius_px)
        return shifts.float()

    def onto_view(self, parameters: Tensor, found: Tensor) -> Tensor:
        return parameters + found

    def ranges(self) -> dict[str, dict[str, float]]:
        return {"shift": {"radius_px": self.radius_px}}
