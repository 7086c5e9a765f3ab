"""Windows on a polar grid about a centre, where a turn is a move around the circle and a mirror reads it backwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_training.transforms.poses import MIRRORED_POSE, wrap_angle

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


def wrapped(around: Tensor, reach: int) -> Tensor:
    """With the circle's last and first columns once more before and behind it: (…, ANGLES) -> (…, ANGLES + 2 · reach).

    torch's own circular padding costs as much as a convolution.
    """
    return torch.cat((around[..., -reach:], around, around[..., :reach]), -1)


def read_backwards(around: Tensor) -> Tensor:
    """What stands around the circle of a window (…, ANGLES), as a mirrored window shows it: θ becomes π − θ."""
    return around[..., (ANGLES // 2 - torch.arange(ANGLES, device=around.device)) % ANGLES]


def likest_turns(patterns: Tensor, windows: Tensor, starts: Tensor, most_rad: float = math.pi) -> Tensor:
    """Which turn of a pattern, mirrored or not where poses have five numbers, is most like a window.

    One product for every angle (and both ways of reading) at once, by Fourier transforms around the circle (as
    O2-VAE's objective does: Burgess et al. 2024). Patterns are turned about their windows' middle, and windows are
    looked at about the places of starts (N, P), which stay. Angles are up to ±most_rad, to the nearest of `ANGLES`.
    (N, C, S, S) twice -> poses (N, P).
    """
    grid = polar_grid(patterns.shape[-1]).to(patterns.device)
    area = grid.square().sum(2)  # of a cell whose sides grow with its radius
    pattern = on_polar_grid(patterns, grid, torch.zeros_like(starts[:, :2]))
    seen = torch.fft.rfft(on_polar_grid(windows, grid, starts[:, :2]) * area)
    ways = [pattern, read_backwards(pattern)] if starts.shape[1] == MIRRORED_POSE else [pattern]
    angles = wrap_angle(STEP * torch.arange(ANGLES, device=patterns.device, dtype=starts.dtype))
    beyond = angles.abs() > most_rad + 1e-6
    alike = [torch.fft.irfft((seen * torch.fft.rfft(way).conj()).sum((1, 2)), ANGLES) for way in ways]
    best = torch.cat([likeness.masked_fill(beyond, -torch.inf) for likeness in alike], 1).argmax(1)
    poses = torch.zeros_like(starts)
    poses[:, :2] = starts[:, :2]
    poses[:, 2] = angles[best % ANGLES]
    poses[:, 4:] = (best // ANGLES)[:, None].to(starts.dtype)
    return poses
