"""Shifts, and turns in the plane that what is restored follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tiae_ros.errors import ParameterError
from tiae_training.transforms.poses import place_by_pose
from tiae_training.transforms.shifts import best_shifts, draw_shifts, shift_images
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True)
class Roll(Transform):
    """Turns by up to ±angle_rad about the window's centre, as of a camera that rolls, and then shifts by whole pixels.

    A window is restored as it is turned, so only its shift is searched for, with the exact minimum as in `Shift`;
    descriptors are to differ by the turn alone (`tiae_training.networks.steering`).
    """

    shift_radius_px: int = 8
    angle_rad: float = math.pi

    columns = ("dx", "dy", "roll")

    def __post_init__(self) -> None:
        if type(self.shift_radius_px) is not int or not 0 <= self.shift_radius_px <= 64:
            raise ParameterError(
                f"shift radius is {self.shift_radius_px!r}; accepted is a whole number of pixels, 0 to 64"
            )
        if not 0.0 < self.angle_rad <= math.pi:
            raise ParameterError(
                f"rotation is ±{math.degrees(self.angle_rad):g}° for roll; accepted is above 0, to 180"
            )

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        shifts = draw_shifts(count, self.shift_radius_px, generator).float()
        angles = self.angle_rad * (2.0 * torch.rand(count, 1, generator=generator) - 1.0)
        return torch.cat((shifts, angles), 1)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        return shift_images(rolled(images, parameters[:, 2]), parameters[:, :2].long())

    def invert(self, images: Tensor, parameters: Tensor) -> Tensor:
        return rolled(shift_images(images, -parameters[:, :2].long()), -parameters[:, 2])

    def best(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> Tensor:
        """The whole shift, after the turn of the estimate; without one there is none. (N, 3)"""
        angles = targets.new_zeros(len(targets), 1)
        if estimate is not None and estimate.shape[1] == len(self.columns):
            angles = estimate[:, 2:]
        shifts, _ = best_shifts(rolled(restored, angles[:, 0]), targets, 2 * self.shift_radius_px)
        return torch.cat((shifts.to(angles.dtype), angles), 1)

    def whole(self, images: Tensor, parameters: Tensor) -> Tensor:
        return rolled(images, parameters[:, 2])

    def nearest_whole(
        self, restored: Tensor, whole: Tensor, drawn: Tensor, estimate: Tensor, trust: float, *, upright: bool = True
    ) -> tuple[Tensor, Tensor]:
        nearest, found = self.nearest(restored, self.whole(whole, drawn))
        return nearest, self.onto_view(drawn, found)

    def onto_view(self, parameters: Tensor, found: Tensor) -> Tensor:
        return parameters[:, :2] + found[:, :2]

    def ranges(self) -> dict[str, dict[str, float]]:
        kinds: dict[str, dict[str, float]] = {}
        if self.shift_radius_px:
            kinds["shift"] = {"radius_px": self.shift_radius_px}
        kinds["roll"] = {"degrees": math.degrees(self.angle_rad)}
        return kinds


def rolled(images: Tensor, angles: Tensor) -> Tensor:
    """Windows turned about their centre, radians from x towards y: (N, C, S, S), (N,) -> (N, C, S, S).

    Bicubic, which blurs less than bilinear interpolation; those that are not turned stay exactly as they are.
    """
    rows = torch.nonzero(angles)[:, 0]
    if not len(rows):
        return images
    zero = torch.zeros_like(angles[rows])
    moved = place_by_pose(images[rows], torch.stack((zero, zero, angles[rows], zero), 1), mode="bicubic")
    return images.index_copy(0, rows, moved.clamp(0.0, 1.0))
