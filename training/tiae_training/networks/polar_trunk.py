"""Features that are the same however a pattern is turned or mirrored, read on the polar grid about its centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiae_training.networks.layers import ACTIVATIONS
from tiae_training.transforms.polar import read_backwards, wrapped

_WIDTHS = (24, 32, 48, 48)
_ROWS_LEFT = 4  # of the grid's `RADII` when the last convolution takes them all at once


class PolarTrunk(nn.Module):
    """Samples on a polar grid (N, C, RADII, ANGLES) -> features (N, hidden).

    On that grid a turn is a move around the circle, which cyclic convolutions follow and means and maxima over the
    circle forget. A mirrored pattern is the same circle read backwards, so where patterns may be mirrored both ways of
    reading it count alike. This is exact for turns by whole steps of the grid, and nearly so between them.

    Features read from a window that is brought back from its pose are as good as the pose: where two patterns of a
    kind are given different ones, they lie apart (O2-VAE has steerable convolutions for this: Burgess et al. 2024).
    """

    def __init__(self, channels: int, hidden: int, activation: str, *, mirrored: bool) -> None:
        super().__init__()
        self.mirrored = mirrored
        first, second, third, last = _WIDTHS
        act = ACTIVATIONS[activation]
        self.around = nn.Sequential(
            *_convolution(channels, first, (5, 5), act, row_stride=2),
            *_convolution(first, second, (3, 5), act),
            nn.AvgPool2d((2, 1)),
            *_convolution(second, third, (3, 5), act),
            *_convolution(third, last, (_ROWS_LEFT, 5), act, all_rows=True, dilation=2),
        )
        self.dense = nn.Sequential(nn.Linear(2 * last, hidden, bias=False), nn.BatchNorm1d(hidden), act())

    def forward(self, polar: Tensor) -> Tensor:
        if self.mirrored:
            both = self.around(torch.cat((polar, read_backwards(polar))))[:, :, 0]
            count = polar.shape[0]
            found = torch.cat((both[:count], both[count:]), 2)  # by `chunk`, an export would be of this batch alone
        else:
            found = self.around(polar)[:, :, 0]  # (N, last, ANGLES)
        features: Tensor = self.dense(torch.cat((found.mean(2), found.amax(2)), 1))
        return features


class _AroundTheCircle(nn.Module):
    """A convolution of radii × angles, cyclic in the angles; all_rows: of all radii at once, with none around."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], *, row_stride: int, all_rows: bool, dilation: int
    ) -> None:
        super().__init__()
        rows, columns = kernel
        self.convolution = nn.Conv2d(
            inputs,
            outputs,
            kernel,
            padding=(0 if all_rows else rows // 2, 0),
            stride=(row_stride, 1),
            dilation=(1, dilation),
            bias=False,
        )
        self.reach = dilation * (columns // 2)

    def forward(self, polar: Tensor) -> Tensor:
        result: Tensor = self.convolution(wrapped(polar, self.reach))
        return result


def _convolution(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    activation: type[nn.Module],
    *,
    row_stride: int = 1,
    all_rows: bool = False,
    dilation: int = 1,
) -> list[nn.Module]:
    around = _AroundTheCircle(inputs, outputs, kernel, row_stride=row_stride, all_rows=all_rows, dilation=dilation)
    return [around, nn.BatchNorm2d(outputs), activation()]
