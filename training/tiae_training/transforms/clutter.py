"""A fragment of another picture in the window; the one admissible transform of the restoration term is "none"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.errors import ParameterError
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True, eq=False)
class Clutter(Transform):
    """Squares of `side_px` cut from a pool of pictures (M, C, H, W) where they show something, laid anywhere.

    As in the cluttered digits of Mnih et al. 2014 (Recurrent Models of Visual Attention). What is laid over what
    cannot be told: each pixel shows the brighter of pattern and fragment. Parameters (N, 4): which picture, where in
    it (both as shares 0..1; corners are as likely as the squared ink at them), the fragment's corner in the window
    (x, y, as shares 0..1 of the room there is).
    """

    pool: Tensor | None = None
    side_px: int = 8

    columns = ("picture", "corner", "x", "y")
    moves = False

    def __post_init__(self) -> None:
        if type(self.side_px) is not int or not 1 <= self.side_px <= 64:
            raise ParameterError(f"clutter has {self.side_px!r} pixels a side; accepted is a whole number, 1 to 64")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random parameters, (count, 4) on the CPU."""
        return torch.rand(count, 4, generator=generator)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        """Each window with its own fragment in it: (N, C, S, S) -> the same."""
        fragments = self.cut(parameters, images)  # (N, C, side, side)
        room = images.shape[-1] - self.side_px
        corners = (parameters[:, 2:4] * (room + 1)).long().clamp_max(room)
        steps = torch.arange(self.side_px, device=images.device)
        rows = (corners[:, 1:2] + steps)[:, :, None]  # (N, side, 1)
        columns = (corners[:, 0:1] + steps)[:, None, :]
        laid = torch.zeros_like(images)
        laid[torch.arange(len(images), device=images.device)[:, None, None], :, rows, columns] = fragments.permute(
            0, 2, 3, 1
        )
        return torch.maximum(images, laid)

    def cut(self, parameters: Tensor, like: Tensor) -> Tensor:
        """The fragments themselves, (N, C, side, side) on the device of `like`. Raises ParameterError."""
        if self.pool is None:
            raise ParameterError("clutter needs pictures to cut fragments from")
        count, channels, height, width = self.pool.shape
        smallest = min(height, width, like.shape[-1])
        if channels != like.shape[1] or smallest < self.side_px:
            raise ParameterError(
                f"clutter is cut from pictures {tuple(self.pool.shape)} for windows {tuple(like.shape[1:])}; "
                f"accepted are as many channels and at least {self.side_px} px"
            )
        index = (parameters[:, 0] * count).long().clamp_max(count - 1)
        pictures = self.pool.to(like.device)[index]  # (N, C, H, W)
        ink = F.avg_pool2d(pictures.sum(1, keepdim=True), self.side_px, stride=1)  # (N, 1, H', W'): of each square
        likely = (ink.flatten(1).square() + 1e-9).cumsum(1)
        corner = torch.searchsorted(likely, parameters[:, 1:2] * likely[:, -1:]).clamp_max(likely.shape[1] - 1)
        top, left = corner // ink.shape[-1], corner % ink.shape[-1]  # (N, 1)
        steps = torch.arange(self.side_px, device=like.device)
        rows, columns = (top + steps)[:, :, None], (left + steps)[:, None, :]
        every = torch.arange(len(index), device=like.device)[:, None, None]
        return pictures[every, :, rows, columns].permute(0, 3, 1, 2)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {"clutter": {"side_px": self.side_px}}
