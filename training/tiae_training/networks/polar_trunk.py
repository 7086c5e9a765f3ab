"""Features that are the same however a pattern is turned or mirrored, read on the polar grid about its centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiae_training.networks.layers import ACTIVATIONS
from tiae_training.transforms.polar import read_backwards

_WIDTHS = (24, 32, 48, 48)
_RADIUS_LEFT = 4  # rows of the grid when the last convolution takes them all at once, of `RADII`


class PolarTrunk(nn.Module):
    """Samples on a polar grid (N, C, RADII, ANGLES) -> features (N, hidden).

    On that grid a turn is a move around the circle, which cyclic convolutions follow and means and maxima over the
    circle forget; a mirrored pattern is the same circle read backwards, so where patterns may be mirrored both ways of
    reading it count alike. Features read from a window that is brought back from its pose are as good as the pose:
    where two patterns of a kind are given different ones, they lie apart (steerable convolutions in place of the grid:
    Burgess et al. 2024, O2-VAE).
    """

    def __init__(self, channels: int, hidden: int, activation: str, *, mirrored: bool) -> None:
        super().__init__()
        self.mirrored = mirrored
        first, second, third, last = _WIDTHS
        act = ACTIVATIONS[activation]
        self.around = nn.Sequential(
            *_convolution(channels, first, (5, 5), act, stride=2),
            *_convolution(first, second, (3, 5), act),
            nn.AvgPool2d((2, 1)),
            *_convolution(second, third, (3, 5), act),
            nn.AvgPool2d((1, 2)),
            *_convolution(third, last, (_RADIUS_LEFT, 5), act, whole=True),
        )
        self.dense = nn.Sequential(nn.Linear(2 * last, hidden, bias=False), nn.BatchNorm1d(hidden), act())

    def forward(self, polar: Tensor) -> Tensor:
        found = self.around(polar)[:, :, 0]  # (N, last, ANGLES / 2)
        if self.mirrored:
            found = torch.cat((found, self.around(read_backwards(polar))[:, :, 0]), 2)
        features: Tensor = self.dense(torch.cat((found.mean(2), found.amax(2)), 1))
        return features


class _AroundTheCircle(nn.Module):
    """A convolution of radii × angles, cyclic in the angles; `whole`: of all radii that there are, with none around."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], *, stride: int, whole: bool) -> None:
        super().__init__()
        rows, columns = kernel
        padding = (0 if whole else rows // 2, 0)
        self.convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, stride=(stride, 1), bias=False)
        self.reach = columns // 2

    def forward(self, polar: Tensor) -> Tensor:
        result: Tensor = self.convolution(torch.cat((polar[..., -self.reach :], polar, polar[..., : self.reach]), 3))
        return result


def _convolution(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    activation: type[nn.Module],
    *,
    stride: int = 1,
    whole: bool = False,
) -> list[nn.Module]:
    return [
        _AroundTheCircle(inputs, outputs, kernel, stride=stride, whole=whole),
        nn.BatchNorm2d(outputs),
        activation(),
    ]
