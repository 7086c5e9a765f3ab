"""Poses of windows: where a pattern lies, how it is turned, how large it is and whether it is mirrored.

Convention (as `tiae_ros.model.shifts`): a pose is ``(dx, dy, angle, log_scale)``, with ``mirrored`` (0 or 1) as a fifth
number where patterns are seen from behind. ``T_pose P`` mirrors the content of ``P`` left to right, turns and scales it
about the window's centre c and then moves it by d = (dx, dy):

    (T_pose P)(x) = P(M R(−angle) (x − c − d) / scale + c),      scale = exp(log_scale), M = diag(−1, 1) or diag(1, 1)

dx to the right and dy down in pixels, the angle in radians from x (right) towards y (down), so clockwise on the
screen. The logarithm makes "twice" and "half" equally far from "as it is". What was outside the window is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MIRRORED_POSE = 5  # numbers in a pose with mirroring; without it four


def place_by_pose(images: Tensor, poses: Tensor, mode: str = "bilinear") -> Tensor:
    """T_pose: mirror, turn, scale, then move each window by its own pose. (N, C, S, S), (N, 4 or 5) -> (N, C, S, S).

    mode: of interpolation, bilinear or bicubic; the latter may go beyond the values that are there.
    """
    turn = _mirrors(poses)[:, :, None] * _rotations(-poses[:, 2]) * torch.exp(-poses[:, 3])[:, None, None]
    return _sample(images, turn, -(turn @ poses[:, :2, None])[:, :, 0], mode)


def bring_back(images: Tensor, poses: Tensor) -> Tensor:
    """T_pose⁻¹: the window as it would be without its pose. (N, C, S, S), (N, 4 or 5) -> (N, C, S, S).

    ``(T_pose⁻¹ I)(x) = I(scale · R(angle) M (x − c) + c + d)``.
    """
    turn = _rotations(poses[:, 2]) * torch.exp(poses[:, 3])[:, None, None] * _mirrors(poses)[:, None, :]
    return _sample(images, turn, poses[:, :2])


def compose_shift(poses: Tensor, shifts: Tensor) -> Tensor:
    """The pose of first moving by a shift and then by the pose: T_pose ∘ T_shift. (N, 4 or 5), (N, 2) -> as poses."""
    turn = _rotations(poses[:, 2]) * torch.exp(poses[:, 3])[:, None, None] * _mirrors(poses)[:, None, :]
    moved = poses[:, :2] + (turn @ shifts.to(poses.dtype)[:, :, None])[:, :, 0]
    return torch.cat((moved, poses[:, 2:]), 1)


def compose(poses: Tensor, inner: Tensor) -> Tensor:
    """The pose of first placing by `inner` and then by the pose: T_pose ∘ T_inner. (N, 4 or 5) twice -> the same."""
    moved = compose_shift(poses, inner[:, :2])
    angle = poses[:, 2:3] + _mirrors(poses)[:, :1] * inner[:, 2:3]  # mirroring after a turn is turning the other way
    parts = [moved[:, :2], wrap_angle(angle), poses[:, 3:4] + inner[:, 3:4]]
    if poses.shape[1] == MIRRORED_POSE:
        parts.append((poses[:, 4:] - inner[:, 4:]).abs())
    return torch.cat(parts, 1)


def invert(poses: Tensor) -> Tensor:
    """The pose that undoes a pose: compose(poses, invert(poses)) is no pose at all. (N, 4 or 5) -> the same."""
    mirror = _mirrors(poses)
    unturned = torch.zeros_like(poses)
    unturned[:, 2] = -poses[:, 2] * mirror[:, 0]
    unturned[:, 3] = -poses[:, 3]
    unturned[:, 4:] = poses[:, 4:]
    return compose_shift(unturned, -poses[:, :2])


def widened(parameters: Tensor, columns: int) -> Tensor:
    """Shifts (N, 2) or poses (N, 4 or 5) with as many columns as asked: what is missing is 0, what is more is cut."""
    return F.pad(parameters, (0, columns - parameters.shape[1]))


def wrap_angle(angles: Tensor) -> Tensor:
    """The same angles within −π..π."""
    return torch.atan2(torch.sin(angles), torch.cos(angles))


def _mirrors(poses: Tensor) -> Tensor:
    """What mirroring multiplies x and y by: (N, 2)."""
    mirror = torch.ones_like(poses[:, :2])
    if poses.shape[1] == MIRRORED_POSE:
        mirror = torch.stack((1.0 - 2.0 * poses[:, 4], mirror[:, 1]), 1)
    return mirror


def _rotations(angles: Tensor) -> Tensor:
    """(N,) -> (N, 2, 2) turning from x towards y."""
    cos, sin = torch.cos(angles), torch.sin(angles)
    return torch.stack((cos, -sin, sin, cos), 1).view(-1, 2, 2)


def _sample(images: Tensor, turn: Tensor, move: Tensor, mode: str = "bilinear") -> Tensor:
    """``out(x) = image(turn (x − c) + c + move)``, interpolated, with zeros outside."""
    count, channels, side, width = images.shape
    if side != width:
        raise ValueError(f"poses take square windows, not {width}×{side}")
    # affine_grid's coordinates run from -1 to 1 over the window about its centre, so only `move` has a unit
    matrices = torch.cat((turn, (2.0 / side) * move[:, :, None]), 2)
    grid = F.affine_grid(matrices, [count, channels, side, side], align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
