"""A hand's window as a detector labels it a frame later: its outline a little elsewhere, a patch in another class.

What ships was seen to do so with a still hand that moves about the picture: outlines move by a third of a detail's
pixel, a patch of the hand is a held thing in one frame and not in the next, and so is a patch of what lies beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.vision.detail import pixel_of
from tiae_training.data.deformation import between_knots, deform

_OUTLINE_PX = 0.22  # standard deviation at the knots, pixels of a window of 32: 2 mm
_KNOTS = 8  # along each side
_RADII_PX = (1.0, 3.5)  # of a patch: 9 to 33 mm
# Shares of the windows in which a patch of the hand is taken for a held thing, one beside it is, and one is lost.
_HELD, _BESIDE, _LOST = 0.3, 0.15, 0.15
_AWAY = 0.1  # how far the depth of what lies beside may differ, of the depth's range


def flickered(windows: Tensor, details: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same hands, labelled a little differently.

    windows: (N, 3, S, S) 0..1, hand, object, depth. details: (N, 3, 80, 80) uint8 of the same places, or (N, 0, 0, 0).
    Both results have the shapes and types of what was given.
    """
    count, size = len(windows), windows.shape[-1]
    unit = size / 32
    kinds = torch.rand(count, generator=generator)
    hands = F.max_pool2d(windows[:, :1], 3, 1, 1)[:, 0]
    reached = F.max_pool2d(hands[:, None], 5, 1, 2)[:, 0]
    held, beside = kinds < _HELD, (kinds >= _HELD) & (kinds < _HELD + _BESIDE)
    lost = ~held & ~beside & (kinds < _HELD + _BESIDE + _LOST)
    middles = _drawn_place(torch.where(beside[:, None, None], reached - hands, windows[:, 0]), generator)
    least, most = _RADII_PX
    radii = unit * (least + (most - least) * torch.rand(count, 2, generator=generator))
    apart = _AWAY * (2 * torch.rand(count, generator=generator) - 1)
    surface = (windows[:, 0] * windows[:, 2]).sum((1, 2)) / windows[:, 0].sum((1, 2)).clamp_min(1.0) + apart
    knots = _OUTLINE_PX * (2 / 32) * torch.randn(count, 2, _KNOTS, _KNOTS, generator=generator)

    def changed(images: Tensor, pixel: float) -> Tensor:
        side = images.shape[-1]
        inside = _inside(middles, radii, side, pixel)
        of_held, of_beside, of_lost = (inside * kind[:, None, None] for kind in (held, beside, lost))
        patched = _patched(images, of_held, of_beside, of_lost, surface)
        grid = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), [count, 1, side, side], align_corners=False)
        return deform(patched, grid + between_knots(knots, side))

    coarse = changed(windows, 1.0)
    if not details.shape[1]:
        return coarse, details
    fine = changed(details.float() / 255, pixel_of(size))  # nearly the same places: 15 of the window's 16 to a side
    return coarse, (255 * fine).round().to(torch.uint8)


def _drawn_place(weights: Tensor, generator: torch.Generator) -> Tensor:
    """A pixel of each by its weight (N, S, S): (N, 2) right and down from the middle."""
    count, size = weights.shape[:2]
    at = torch.multinomial(weights.reshape(count, -1).clamp_min(0.0) + 1e-9, 1, generator=generator)[:, 0]
    return torch.stack((at % size, at // size), 1) - (size - 1) / 2


def _inside(middles: Tensor, radii: Tensor, side: int, pixel: float) -> Tensor:
    """(N, side, side) 1 within an ellipse and 0 without, of pixels so large around the window's middle."""
    places = pixel * (torch.arange(side) - (side - 1) / 2)
    across = (places[None, :] - middles[:, :1]) / radii[:, :1]
    down = (places[None, :] - middles[:, 1:]) / radii[:, 1:]
    return ((across[:, None, :] ** 2 + down[:, :, None] ** 2) < 1).float()


def _patched(images: Tensor, held: Tensor, beside: Tensor, lost: Tensor, surface: Tensor) -> Tensor:
    """(N, 3, S, S) with hand taken for thing, what lies beside taken for thing, and nothing, in patches (N, S, S)."""
    hand, thing, depth = images.unbind(1)
    turned = hand * held
    added = beside * (1 - hand - thing).clamp_min(0.0)
    shown = torch.where(added > 0.5, surface[:, None, None].clamp(0.0, 1.0), depth)
    return torch.stack((hand - turned, thing + turned + added, shown), 1) * (1 - lost)[:, None]
