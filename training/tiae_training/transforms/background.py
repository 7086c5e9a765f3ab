"""Another background behind the pattern; the one admissible transform of the restoration term sets it to 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tiae_ros.errors import ParameterError
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True, eq=False)
class Background(Transform):
    """Backgrounds cut at random from a pool of pictures (M, C, H, W), H and W at least a window's side, and mirrored.

    Parameters (N, 4): which picture, the cut's corner as shares 0..1 of the room there is, whether mirrored.
    """

    pool: Tensor | None = None

    columns = ("picture", "row", "column", "mirrored")
    moves = False

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random parameters, (count, 4) on the CPU."""
        return torch.rand(count, 4, generator=generator)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        """Patterns on black (N, C, S, S), laid over backgrounds; without a cover their values hide what is behind."""
        hidden = own_cover(images) if cover is None else cover
        return images + (1.0 - hidden) * self.cut(parameters, images)

    def cut(self, parameters: Tensor, like: Tensor) -> Tensor:
        """The backgrounds themselves, of the shape and device of `like`."""
        if self.pool is None:
            raise ParameterError("background transforms need pictures; give the data an array `background`")
        side = like.shape[-1]
        count, channels, height, width = self.pool.shape
        if channels != like.shape[1] or min(height, width) < side:
            raise ParameterError(
                f"backgrounds are {tuple(self.pool.shape)}; "
                f"accepted are (M, {like.shape[1]}, H, W) of at least {side} px"
            )
        pool = self.pool.to(like.device)
        index = (parameters[:, 0] * count).long().clamp_max(count - 1)
        top = (parameters[:, 1] * (height - side + 1)).long().clamp_max(height - side)
        left = (parameters[:, 2] * (width - side + 1)).long().clamp_max(width - side)
        steps = torch.arange(side, device=like.device)
        columns = left[:, None] + torch.where(parameters[:, 3:] < 0.5, steps, side - 1 - steps)  # (N, S)
        rows = top[:, None] + steps
        cuts = pool[index[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (N, S, S, C)
        return cuts.permute(0, 3, 1, 2)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {"background": {"pictures": 0 if self.pool is None else len(self.pool)}}


def own_cover(images: Tensor) -> Tensor:
    """How far patterns on black cover what is behind them when no mask says so: their value. -> (N, 1, S, S)"""
    return images.amax(1, keepdim=True)
