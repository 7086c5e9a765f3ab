"""For masks with a depth channel: depth is restored where the masks are, by a deeper pair of eyes.

Depth drawn like any other channel repeats the masks' outlines, each a jump from nothing to a surface, and most of what
the descriptor and the layers can say goes into saying them twice. Here the last channel is the product of a surface
without outlines and of what the channels before it cover, so that only its relief has to be described.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.half_voting_network import HalfVotingNetwork, JoinedHalfVotingNetwork
from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import make_painter


class SurfaceNetwork(HalfVotingNetwork):
    """`HalfVotingNetwork` whose last channel lies on the others, with a residual block (He et al. 2016) in its eyes.

    A single channel has nothing to lie on and is restored as it is; for depth alone see `ReliefNetwork`.
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, hidden: int = 256, painter_hidden: int = 384
    ) -> None:
        super().__init__(channels, window_size, descriptor_size, hidden=hidden)
        self.eyes = make_deep_eyes(channels, window_size, hidden)
        self.expand = make_painter(
            channels, window_size, descriptor_size, painter_hidden, activation=nn.SiLU, silent=True
        )

    def decode(self, descriptors: Tensor) -> Tensor:
        return on_cover(super().decode(descriptors))

    def joined(self) -> Network:
        return JoinedSurfaceNetwork(self)


class JoinedSurfaceNetwork(JoinedHalfVotingNetwork):
    """The same with joined products (see `JoinedHalfVotingNetwork`)."""

    def decode(self, descriptors: Tensor) -> Tensor:
        return on_cover(super().decode(descriptors))


def on_cover(restored: Tensor) -> Tensor:
    """The last channel times the share that the channels before it cover: (N, C, S, S) -> the same.

    Its errors do not move the outlines: those are the masks' own affair.
    """
    if restored.shape[1] < 2:
        return restored
    masks, surface = restored[:, :-1], restored[:, -1:]
    cover = masks.detach().sum(1, keepdim=True).clamp(0.0, 1.0)
    return torch.cat((masks, surface * cover), 1)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.silu(features + self.change(features))


def make_deep_eyes(channels: int, window_size: int, hidden: int, *, width: int = 64, blocks: int = 1) -> nn.Sequential:
    """(N, C, S, S) -> features (N, hidden)."""
    quarter = window_size // 4
    return nn.Sequential(
        nn.Conv2d(channels, width // 2, 5, padding=2, stride=2, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.SiLU(),
        nn.Conv2d(width // 2, width, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(width),
        nn.SiLU(),
        *(ResidualBlock(width) for _ in range(blocks)),
        nn.Conv2d(width, width // 2, 1, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(width // 2 * quarter * quarter, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.SiLU(),
    )
