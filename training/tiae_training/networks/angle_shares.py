"""What is said of an angle as shares of bins around the circle: of poses, of poses after another transform.

Shares (N, ANGLES) sum to 1, bin k standing for the angle 2π k / ANGLES. Where patterns may be mirrored there are as
many again, (N, 2 · ANGLES), for mirrored ones: there a bin is the angle that the window shows after it is mirrored
itself, the negative of the pose's, since a mirror turns the other way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tiae_training.transforms.polar import ANGLES, STEP
from tiae_training.transforms.poses import MIRRORED_POSE


def shares_of(poses: Tensor) -> Tensor:
    """The angles of poses (N, 4 or 5), each shared by the two bins nearest to it: (N, ANGLES or 2 · ANGLES)."""
    if poses.shape[1] != MIRRORED_POSE:
        return _one_circle(poses[:, 2])
    mirrored = poses[:, 4:]
    return torch.cat(((1.0 - mirrored) * _one_circle(poses[:, 2]), mirrored * _one_circle(-poses[:, 2])), 1)


def after(poses: Tensor, shares: Tensor) -> Tensor:
    """Shares of what stands before a transform -> shares after it: (N, 4 or 5), (N, ANGLES or 2 · ANGLES)."""
    if shares.shape[1] == ANGLES:
        return _turned(shares, poses[:, 2])
    plain, mirrored = shares.chunk(2, 1)
    swap = poses[:, 4:] > 0.5
    plain, mirrored = torch.where(swap, mirrored, plain), torch.where(swap, plain, mirrored)
    return torch.cat((_turned(plain, poses[:, 2]), _turned(mirrored, -poses[:, 2])), 1)


def _one_circle(angles: Tensor) -> Tensor:
    apart = ((angles / STEP)[:, None] - torch.arange(ANGLES, device=angles.device)) % ANGLES
    return (1.0 - torch.minimum(apart, ANGLES - apart)).clamp_min(0.0)


def _turned(shares: Tensor, angles: Tensor) -> Tensor:
    """Around the circle by angles (N,), which split a bin's share between two where they lie between bins."""
    place = angles / STEP
    whole = place.floor()
    part = (place - whole)[:, None]
    before = (torch.arange(ANGLES, device=shares.device) - whole[:, None].long()) % ANGLES
    return (1.0 - part) * shares.gather(1, before) + part * shares.gather(1, (before - 1) % ANGLES)
