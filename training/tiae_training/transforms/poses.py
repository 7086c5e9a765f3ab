"""Poses of windows: where a pattern lies, how it is turned and how large it is, and moving windows by them.

Convention (as `tiae_ros.model.shifts`): a pose is ``(dx, dy, angle, log_scale)``. ``T_pose P`` turns and scales the
content of ``P`` about the window's centre c and then moves it by (dx, dy):

    (T_pose P)(x) = P(R(−angle) (x − c − d) / scale + c),      scale = exp(log_scale)

dx to the right and dy down in pixels, the angle in radians from x (right) towards y (down), so clockwise on the
screen. The logarithm makes "twice" and "half" equally far from "as it is". What was outside the window is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def place_by_pose(images: Tensor, poses: Tensor) -> Tensor:
    """T_pose: turn, scale, then move each window by its own pose. (N, C, S, S), (N, 4) -> (N, C, S, S)."""
    turn = _rotations(-poses[:, 2]) * torch.exp(-poses[:, 3])[:, None, None]
    return _sample(images, turn, -(turn @ poses[:, :2, None])[:, :, 0])


def bring_back(images: Tensor, poses: Tensor) -> Tensor:
    """T_pose⁻¹: the window as it would be without its pose. (N, C, S, S), (N, 4) -> (N, C, S, S).

    ``(T_pose⁻¹ I)(x) = I(scale · R(angle) (x − c) + c + d)``.
    """
    turn = _rotations(poses[:, 2]) * torch.exp(poses[:, 3])[:, None, None]
    return _sample(images, turn, poses[:, :2])


def compose_shift(poses: Tensor, shifts: Tensor) -> Tensor:
    """The pose of first moving by a shift and then by the pose: T_pose ∘ T_shift. (N, 4), (N, 2) -> (N, 4)."""
    turn = _rotations(poses[:, 2]) * torch.exp(poses[:, 3])[:, None, None]
    moved = poses[:, :2] + (turn @ shifts.to(poses.dtype)[:, :, None])[:, :, 0]
    return torch.cat((moved, poses[:, 2:]), 1)


def compose(poses: Tensor, inner: Tensor) -> Tensor:
    """The pose of first placing by `inner` and then by the pose: T_pose ∘ T_inner. (N, 4) twice -> (N, 4)."""
    moved = compose_shift(poses, inner[:, :2])
    return torch.cat((moved[:, :2], wrap_angle(poses[:, 2:3] + inner[:, 2:3]), poses[:, 3:] + inner[:, 3:]), 1)


def wrap_angle(angles: Tensor) -> Tensor:
    """The same angles within −π..π."""
    return torch.atan2(torch.sin(angles), torch.cos(angles))


def _rotations(angles: Tensor) -> Tensor:
    """(N,) -> (N, 2, 2) turning from x towards y."""
    cos, sin = torch.cos(angles), torch.sin(angles)
    return torch.stack((cos, -sin, sin, cos), 1).view(-1, 2, 2)


def _sample(images: Tensor, turn: Tensor, move: Tensor) -> Tensor:
    """``out(x) = image(turn (x − c) + c + move)`` with bilinear interpolation and zeros outside."""
    count, channels, side, width = images.shape
    if side != width:
        raise ValueError(f"poses take square windows, not {width}×{side}")
    # affine_grid's coordinates run from -1 to 1 over the window about its centre, so only `move` has a unit
    matrices = torch.cat((turn, (2.0 / side) * move[:, :, None]), 2)
    grid = F.affine_grid(matrices, [count, channels, side, side], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
