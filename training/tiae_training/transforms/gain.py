"""Brighter or darker, nearer or farther values; the restored pattern is to have its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tiae_ros.errors import ParameterError
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True)
class Gain(Transform):
    """Values times 1/factor to factor, evenly by logarithm, and no higher than 1. Parameters (N, 1): the gain."""

    factor: float = 1.5

    columns = ("gain",)
    moves = False

    def __post_init__(self) -> None:
        if not 1.0 < self.factor <= 10.0:
            raise ParameterError(f"gain is up to {self.factor:g}; accepted is more than 1, up to 10")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random parameters, (count, 1) on the CPU."""
        return torch.exp(math.log(self.factor) * (2.0 * torch.rand(count, 1, generator=generator) - 1.0))

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        """Each window by its own gain. (N, C, S, S)"""
        return (images * parameters[:, :, None, None]).clamp_max(1.0)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {"gain": {"factor": self.factor}}
