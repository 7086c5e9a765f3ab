"""Descriptors of which two numbers say how a pattern is turned in the plane, and all others are the same however it is.

A code that restores a pattern as it is turned changes with the turn; what does not change cannot say how to restore it.
So a code is split: the turn is told apart, and the rest is steered, a sum of linear maps weighed by the cosines and
sines of the turn's multiples (Freeman & Adelson 1991, steerable filters), which can turn what is linear in patterns to
any angle. What is restored is not interpolated to be turned: windows of 32 pixels that are turned to be seen, and back
to be compared, lose outlines and a third of the depth's precision (docs/notebook/2026-11-poses.md). No window says
which angle is 0; two views say how far they are apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiae_training.networks.layers import zero_init

TURN = 2  # numbers of a descriptor that say the turn: its cosine and sine, times `TURN_LENGTH`
TURN_LENGTH = 0.1  # small beside the others, so that distances of descriptors hardly ask for it
_MULTIPLES = 4  # of the turn's angle


class Steering(nn.Module):
    """Codes (N, K) <-> descriptors (N, K). It begins by leaving all but two numbers as they are."""

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        if size <= TURN:
            raise ValueError(f"{size} numbers are too few to say a turn beside a shape; needed are more than {TURN}")
        shape = size - TURN
        self.find_turn = nn.Linear(features, TURN)
        parts = 1 + 2 * _MULTIPLES
        self.unsteer = nn.Linear(parts * size, shape, bias=False)
        self.steer = nn.Linear(parts * shape, size, bias=False)
        zero_init(self.unsteer)
        zero_init(self.steer)

    def describe(self, codes: Tensor, features: Tensor) -> Tensor:
        """Codes (N, K) of windows with features (N, F) -> descriptors (N, K)."""
        turns = _unit(self.find_turn(features).float())
        shapes = codes[:, :-TURN] + self.unsteer(_weighed(codes, turns))
        return torch.cat((shapes, TURN_LENGTH * turns.to(shapes.dtype)), 1)

    def codes_of(self, descriptors: Tensor) -> Tensor:
        """Descriptors (N, K) -> codes (N, K)."""
        shapes, turns = descriptors[:, :-TURN], _unit(descriptors[:, -TURN:].float())
        steered = self.steer(_weighed(shapes, turns))
        return torch.cat((shapes + steered[:, :-TURN], steered[:, -TURN:]), 1)


def turned(descriptors: Tensor, angles: Tensor) -> Tensor:
    """Descriptors of the same patterns turned by angles more, radians from x towards y: (N, K), (N,) -> (N, K)."""
    x, y = descriptors[:, -TURN:].float().unbind(1)
    cos, sin = torch.cos(angles), torch.sin(angles)
    turns = torch.stack((x * cos - y * sin, x * sin + y * cos), 1)
    return torch.cat((descriptors[:, :-TURN], turns.to(descriptors.dtype)), 1)


def _weighed(numbers: Tensor, turns: Tensor) -> Tensor:
    """Numbers, and these by cosine and sine of the turn's multiples: (N, K), (N, 2) -> (N, K (1 + 2 multiples))."""
    x, y = turns[:, :1], turns[:, 1:]
    cos, sin = x, y
    weights = [cos, sin]
    for _ in range(_MULTIPLES - 1):
        cos, sin = cos * x - sin * y, cos * y + sin * x
        weights += [cos, sin]
    return torch.cat([numbers, *(weight.to(numbers.dtype) * numbers for weight in weights)], 1)


def _unit(turns: Tensor) -> Tensor:
    """Directions of length 1, by operators that a page computes, too (`tiae_training.explore`): (N, 2) -> (N, 2)."""
    return turns / (turns * turns).sum(1, keepdim=True).clamp_min(1e-12).sqrt()
