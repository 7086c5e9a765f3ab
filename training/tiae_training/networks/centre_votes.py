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


def mean_vote(votes: Tensor, images: Tensor, places: Tensor) -> Tensor:
    """The weighted mean of votes (N, 3, ⌈S/2⌉, ⌈S/2⌉), offset x, offset y and log weight of each block -> (N, 2)."""
    # a block's own pixels and those around it; blank places are silent
    ink = F.avg_pool2d(in_blocks(images).float().abs().sum(1, keepdim=True), 4, stride=2, padding=1)
    weights = ink * torch.exp(votes[:, 2:].clamp(-8.0, 8.0))  # (N, 1, ⌈S/2⌉, ⌈S/2⌉)
    centres: Tensor = (weights * (votes[:, :2] + places)).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1e-6)
    return centres


def block_places(window_size: int) -> Tensor:
    """x and y of each 2×2 block, pixels from the window's centre: (2, ⌈S/2⌉, ⌈S/2⌉)."""
    half = (window_size + 1) // 2
    axis = 2.0 * torch.arange(half, dtype=torch.float32) - (window_size / 2 - 1)
    return torch.stack((axis.expand(half, half), axis[:, None].expand(half, half)))
