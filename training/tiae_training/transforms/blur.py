"""A camera out of focus; the restored pattern is to be sharp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.errors import ParameterError
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True)
class Blur(Transform):
    """Gaussian blur with a standard deviation of 0 to `largest_px`. Parameters (N, 1): pixels."""

    largest_px: float = 1.5

    columns = ("deviation_px",)
    moves = False

    def __post_init__(self) -> None:
        if not 0.0 < self.largest_px <= 8.0:
            raise ParameterError(f"blur is up to {self.largest_px:g} pixels; accepted is more than 0, up to 8")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random parameters, (count, 1) on the CPU."""
        return self.largest_px * torch.rand(count, 1, generator=generator)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        """Each window by its own deviation, rows and columns apart; outside is 0. (N, C, S, S)"""
        count, channels, height, width = images.shape
        reach = max(1, round(2.5 * self.largest_px))
        offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
        weights = torch.exp(-0.5 * (offsets[None] / parameters.clamp_min(1e-3)).square())  # (N, taps)
        weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
        flat = images.reshape(1, count * channels, height, width)
        flat = F.conv2d(flat, weights[:, None, :, None], padding=(reach, 0), groups=count * channels)
        flat = F.conv2d(flat, weights[:, None, None, :], padding=(0, reach), groups=count * channels)
        return flat.view(count, channels, height, width)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {"blur": {"largest_px": self.largest_px}}
