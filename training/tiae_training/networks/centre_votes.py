"""Where patterns lie: each block of a window votes for the pattern's centre, with a weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_training.networks.layers import in_blocks


class CentreVotes(nn.Module):
    """Votes of each 2×2 block of a window: (N, C, S, S) -> (N, 2) pixels, x right, y down.

    The convolutions have no bias: a blank surrounding stays exactly 0 through all layers, so that the window's
    edge, where zeros come in, looks like any other blank place; and so do the zeros that complete an odd side's last
    blocks. Votes move with the pattern by themselves, exactly for even shifts and within a few hundredths of a pixel
    for odd ones. Nothing says where a pattern's centre is: the objective's invariance does. Visible parts vote even
    where others are cut off.
    """

    def __init__(self, channels: int, window_size: int, *, width: int = 16) -> None:
        super().__init__()
        self.voters = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2, bias=False),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(width, width, 5, padding=2, bias=False),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=4, dilation=2, bias=False),
            nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )
        self.places: Tensor
        self.register_buffer("places", block_places(window_size), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The votes' mean, relative to the window's centre."""
        return mean_vote(self.voters(in_blocks(images)).float(), images, self.places)


def mean_vote(votes: Tensor, images: Tensor, places: Tensor, side: int = 2) -> Tensor:
    """The weighted mean of votes (N, 3, B, B), offset x, offset y and log weight of each block -> (N, 2).

    images: the window that votes (N, C, S, S), for B = ⌈S / side⌉ blocks of side × side pixels a row.
    """
    # a block's own pixels and those around it; blank places are silent
    ink = in_blocks(images, side).float().abs().sum(1, keepdim=True)
    ink = F.avg_pool2d(ink, 2 * side, stride=side, padding=side // 2)
    weights = ink * torch.exp(votes[:, 2:].clamp(-8.0, 8.0))  # (N, 1, B, B)
    centres: Tensor = (weights * (votes[:, :2] + places)).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1e-6)
    return centres


def block_places(window_size: int, side: int = 2) -> Tensor:
    """x and y of each block of side × side pixels, pixels from the window's centre: (2, ⌈S / side⌉, ⌈S / side⌉)."""
    blocks = -(-window_size // side)
    axis = side * torch.arange(blocks, dtype=torch.float32) + (side - window_size) / 2
    return torch.stack((axis.expand(blocks, blocks), axis[:, None].expand(blocks, blocks)))
