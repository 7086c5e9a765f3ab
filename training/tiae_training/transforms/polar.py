"""Windows on a polar grid about a centre, where a turn is a move around the circle and a mirror reads it backwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_training.transforms.poses import MIRRORED_POSE

ANGLES = 32
STEP = 2.0 * math.pi / ANGLES
RADII = 16  # rows of the grid, evenly by logarithm
_NEAREST_PX, _FARTHEST = 1.2, 0.6  # radii from here to this share of the window's side


def polar_grid(window_size: int) -> Tensor:
    """Places about the centre, in units of half the window's side as `grid_sample` has them: (RADII, ANGLES, 2)."""
    directions = STEP * torch.arange(ANGLES)
    radii = torch.logspace(math.log(_NEAREST_PX), math.log(_FARTHEST * window_size), RADII, base=math.e)
    grid = radii[:, None, None] * torch.stack((torch.cos(directions), torch.sin(directions)), 1)[None]
    return grid * (2.0 / window_size)


def on_polar_grid(images: Tensor, grid: Tensor, centres: Tensor) -> Tensor:
    """Windows (N, C, S, S) about their centres (N, 2), pixels from the middle: (N, C, RADII, ANGLES)."""
    places = grid[None] + (2.0 / images.shape[-1]) * centres[:, None, None, :]
    return F.grid_sample(images.float(), places, mode="bilinear", align_corners=False)


def read_backwards(around: Tensor) -> Tensor:
    """What stands around the circle of a window (…, ANGLES), as a mirrored window shows it: θ becomes π − θ."""
    return around[..., (ANGLES // 2 - torch.arange(ANGLES, device=around.device)) % ANGLES]


def likest_turns(patterns: Tensor, windows: Tensor, columns: int) -> Tensor:
    """Which turn of a pattern, mirrored or not where poses have five numbers, is most like a window about its middle.

    One product for every angle (and both ways of reading) at once, by Fourier transforms around the circle (as
    O2-VAE's objective does: Burgess et al. 2024). (N, C, S, S) twice -> poses (N, columns), to the nearest of `ANGLES`.
    """
    grid = polar_grid(patterns.shape[-1]).to(patterns.device)
    middle = patterns.new_zeros(len(patterns), 2)
    area = grid.square().sum(2)  # of a cell whose sides grow with its radius
    pattern, window = (on_polar_grid(images, grid, middle) for images in (patterns, windows))
    seen = torch.fft.rfft(window * area)
    ways = [pattern, read_backwards(pattern)] if columns == MIRRORED_POSE else [pattern]
    alike = [torch.fft.irfft((seen * torch.fft.rfft(way).conj()).sum((1, 2)), ANGLES) for way in ways]
    best = torch.cat(alike, 1).argmax(1)
    poses = windows.new_zeros(len(windows), columns)
    turned = STEP * (best % ANGLES).to(poses.dtype)
    poses[:, 2] = torch.atan2(torch.sin(turned), torch.cos(turned))
    poses[:, 4:] = (best // ANGLES)[:, None].to(poses.dtype)
    return poses
