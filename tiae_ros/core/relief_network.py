"""For depth alone: how much of each pixel there is, and the surface that it shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiae_ros.core.half_voting_network import HalfVotingNetwork, JoinedHalfVotingNetwork
from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import make_painter
from tiae_ros.core.surface_network import make_deep_eyes

_STEEPNESS = 6.0  # of the step from nothing to something, at the middle
_MIDDLE = 0.5  # depth value about which a hand's surface lies


class ReliefNetwork(HalfVotingNetwork):
    """`HalfVotingNetwork` whose painter paints each channel twice: a surface and its outline.

    Depth jumps at outlines by ten times what it varies within a hand. Here the jump is a factor of its own, steep
    where it is unsure by little, and the surface has none to draw. The factor begins as what straight layers restore.
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, hidden: int = 256, painter_hidden: int = 256
    ) -> None:
        super().__init__(channels, window_size, descriptor_size, hidden=hidden)
        self.eyes = make_deep_eyes(channels, window_size, hidden)
        self.expand = make_painter(
            2 * channels, window_size, descriptor_size, painter_hidden, activation=nn.SiLU, silent=True
        )

    def decode(self, descriptors: Tensor) -> Tensor:
        return _seen(self.expand(descriptors), self.expand_straight(descriptors))

    def joined(self) -> Network:
        return JoinedReliefNetwork(self)


class JoinedReliefNetwork(JoinedHalfVotingNetwork):
    """The same with joined products (see `JoinedHalfVotingNetwork`)."""

    def decode(self, descriptors: Tensor) -> Tensor:
        begun: Tensor = self.begin(descriptors)
        return _seen(self.paint(begun[:, : self.hidden]), begun[:, self.hidden :])


def _seen(painted: Tensor, straight: Tensor) -> Tensor:
    """Surfaces and outlines (N, 2 C, S, S), and what straight layers restore (N, C * S * S) -> (N, C, S, S)."""
    relief, outline = painted.chunk(2, 1)
    cover = torch.sigmoid(_STEEPNESS * (straight.reshape(relief.shape) / _MIDDLE + outline - 0.5))
    return cover * (relief + _MIDDLE)
