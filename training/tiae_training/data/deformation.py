"""Small deformations of windows: the variety among patterns of one kind that a few thousand of them do not show.

Each is an affine map about the window's centre (angle, stretch along two axes, shear) plus a smooth random
displacement. Unlike the transforms of `tiae_training.transforms` a deformation belongs to the pattern: it is to be
restored, not undone. Training uses them twice: both views of an image show the same deformed pattern, so that
each epoch sees new ones; and descriptors of two deformations of one pattern are drawn together
(`tiae_training.objective.contrastive`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# the largest at strength 1
_ANGLE_RAD = math.radians(15.0)
_STRETCH = 0.15  # logarithm of the factor along each axis
_SHEAR = 0.2
_DISPLACEMENT_PX = 1.0  # standard deviation at the knots, for a window of 32 pixels
_KNOTS = 5  # along each side


def draw_deformations(count: int, side: int, strength: float, generator: torch.Generator) -> Tensor:
    """Where each pixel of the deformed window looks in the original, as `grid_sample` takes it: (count, S, S, 2).

    Drawn on the CPU from the generator. strength 1 turns by up to 15°, stretches by up to 16 % and moves
    places by about a pixel in 32; it scales all of them alike.
    """
    spread = strength * (2.0 * torch.rand(count, 4, generator=generator) - 1.0)
    angle, shear = spread[:, 0] * _ANGLE_RAD, spread[:, 1] * _SHEAR
    stretch = torch.exp(spread[:, 2:] * _STRETCH)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # the rotation times [[stretch_x, shear], [0, stretch_y]]
    across = torch.stack((cos * stretch[:, 0], cos * shear - sin * stretch[:, 1]), 1)
    down = torch.stack((sin * stretch[:, 0], sin * shear + cos * stretch[:, 1]), 1)
    maps = torch.stack((across, down), 1)  # (count, 2, 2)
    matrices = F.pad(maps, (0, 1))  # no shift
    grid = F.affine_grid(matrices, [count, 1, side, side], align_corners=False)
    knots = torch.randn(count, 2, _KNOTS, _KNOTS, generator=generator) * (strength * _DISPLACEMENT_PX * 2.0 / 32.0)
    return grid + between_knots(knots, side)


def between_knots(knots: Tensor, side: int) -> Tensor:
    """Smooth displacements, given at knots: (N, 2, K, K) -> (N, side, side, 2) in the coordinates of `grid_sample`."""
    displacement = F.interpolate(knots, size=(side, side), mode="bicubic", align_corners=True)
    return displacement.permute(0, 2, 3, 1)


def deform(images: Tensor, deformations: Tensor) -> Tensor:
    """Windows (N, C, S, S) of values 0..1 deformed by (N, S, S, 2), zeros outside.

    Bicubic: bilinear interpolation takes a third of the gradients' energy from thin strokes, and what is trained on
    blurred patterns restores blurred ones.
    """
    moved = F.grid_sample(images, deformations, mode="bicubic", padding_mode="zeros", align_corners=False)
    return moved.clamp(0.0, 1.0)
