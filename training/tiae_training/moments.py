"""Poses of patterns read from their moments: centroid, second and third moments of the brightness (Hu 1962).

What needs no learning on a black background, and breaks with anything beside the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST = 1e-6  # sum of brightness below which a window is blank, and square pixels below which a pattern is a point


@dataclass(frozen=True)
class Moments:
    """Of windows (N, C, S, S), channels added up: pixels, radians, dx right and dy down.

    centroids (N, 2) from the window's middle; sizes (N,): root mean squared distance from the centroid; axes (N,): the
    angle of the main axis, from x towards y, within ±π/2; along and across (N,): the sign (±1) of the third moment
    along that axis and across it, which says where the longer tail is. Of a blank window: 0, 0, 0, 1, 1.
    """

    centroids: Tensor
    sizes: Tensor
    axes: Tensor
    along: Tensor
    across: Tensor


def moments(images: Tensor) -> Moments:
    """The moments of each window: (N, C, S, S) -> `Moments`."""
    weights, axis = _weights(images)
    x, y = _first(weights, axis)
    dx, dy = (axis - x[:, None])[:, None, :], (axis - y[:, None])[:, :, None]  # (N, 1, S), (N, S, 1)
    xx, yy, xy = ((weights * product).sum((1, 2)) for product in (dx * dx, dy * dy, dx * dy))
    axes = 0.5 * torch.atan2(2.0 * xy, xx - yy)
    cos, sin = torch.cos(axes)[:, None, None], torch.sin(axes)[:, None, None]
    along, across = ((weights * line**3).sum((1, 2)) for line in (cos * dx + sin * dy, cos * dy - sin * dx))
    return Moments(
        torch.stack((x, y), 1),
        (xx + yy).sqrt(),
        axes,
        torch.where(along < 0, -1.0, 1.0),
        torch.where(across < 0, -1.0, 1.0),
    )


def centroids(images: Tensor) -> Tensor:
    """Of each window, from its middle, in pixels; 0 of a blank one: (N, C, S, S) -> (N, 2)."""
    return torch.stack(_first(*_weights(images)), 1)


def _weights(images: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the brightness (N, S, S), and the places of rows and columns from the middle (S,)."""
    side = images.shape[-1]
    axis = torch.arange(side, dtype=images.dtype, device=images.device) - (side - 1) / 2
    brightness = images.sum(1)
    return brightness / brightness.sum((1, 2)).clamp_min(_LEAST)[:, None, None], axis


def _first(weights: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    return (weights * axis).sum((1, 2)), (weights * axis[:, None]).sum((1, 2))


def mean_size(images: Tensor) -> float:
    """The geometric mean of the patterns' sizes in pixels, of those that are no points; 1 if there are none."""
    sizes = moments(images).sizes
    sizes = sizes[sizes.square() > _LEAST]
    return float(sizes.log().mean().exp()) if len(sizes) else 1.0


def moment_poses(found: Moments, size_px: float, *, turned: bool) -> Tensor:
    """The pose of each pattern as `transforms.poses` has it: `bring_back` by it leaves the centroid in the middle.

    The pattern is then of this size and, where asked for (`turned`), its main axis lies along x with its longer tail
    to the right. Points and blank windows keep their size. -> (N, 4)
    """
    sizes = torch.where(found.sizes.square() > _LEAST, found.sizes, torch.full_like(found.sizes, size_px))
    half_turns = torch.pi * (found.along < 0)
    angles = found.axes + half_turns if turned else torch.zeros_like(found.axes)
    return torch.cat((found.centroids, angles[:, None], torch.log(sizes / size_px)[:, None]), 1)
