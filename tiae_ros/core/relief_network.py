"""For depth alone: how much of each pixel there is, and the surface that it shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiae_ros.core.half_voting_network import CentreVotes, HalfVotingNetwork, JoinedHalfVotingNetwork
from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import make_painter
from tiae_ros.core.shifts import shift_images_subpixel
from tiae_ros.core.surface_network import make_deep_eyes

_STEEPNESS = 6.0  # of the step from nothing to something, at the middle
_MIDDLE = 0.5  # depth value about which a hand's surface lies
_FULL = 0.125  # depth value from which on a pixel counts as covered


class ReliefNetwork(HalfVotingNetwork):
    """`HalfVotingNetwork` that sees and paints each channel twice: a surface and its outline.

    Depth jumps at outlines by ten times what it varies within a hand. Here the jump is a factor of its own, steep
    where it is unsure by little, and the surface has none to draw. The factor begins as what straight layers restore.
    Votes and eyes are shown the outline too, so that what is near does not count for more than what is far.
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, hidden: int = 256, painter_hidden: int = 256
    ) -> None:
        super().__init__(channels, window_size, descriptor_size, hidden=hidden)
        self.find_centre = CentreVotes(2 * channels, window_size)
        self.eyes = make_deep_eyes(2 * channels, window_size, hidden)
        self.expand = make_painter(
            2 * channels, window_size, descriptor_size, painter_hidden, activation=nn.SiLU, silent=True
        )

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        both = with_cover(images)
        centre = self.find_centre(both)
        still = shift_images_subpixel(both, -centre)
        seen = self.eyes(still)  # (N, hidden)
        straight = self.describe_straight(still[:, : self.channels].flatten(1))
        return self.describe(seen) + straight, centre + self.correct(seen)

    def decode(self, descriptors: Tensor) -> Tensor:
        return _seen(self.expand(descriptors), self.expand_straight(descriptors))

    def joined(self) -> Network:
        return JoinedReliefNetwork(self)


class JoinedReliefNetwork(JoinedHalfVotingNetwork):
    """The same with joined products (see `JoinedHalfVotingNetwork`)."""

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        both = with_cover(images)
        centre = self.find_centre(both)
        return self.described(shift_images_subpixel(both, -centre), centre)

    def decode(self, descriptors: Tensor) -> Tensor:
        begun: Tensor = self.begin(descriptors)
        return _seen(self.paint(begun[:, : self.hidden]), begun[:, self.hidden :])


def with_cover(images: Tensor) -> Tensor:
    """(N, C, S, S) -> (N, 2 C, S, S): depth, and how much of each pixel there is, as far as depth tells."""
    depth = images.float()
    return torch.cat((depth, (depth / _FULL).clamp(0.0, 1.0)), 1)


def _seen(painted: Tensor, straight: Tensor) -> Tensor:
    """Surfaces and outlines (N, 2 C, S, S), and what straight layers restore (N, C * S * S) -> (N, C, S, S)."""
    relief, outline = painted.chunk(2, 1)
    cover = torch.sigmoid(_STEEPNESS * (straight.reshape(relief.shape) / _MIDDLE + outline - 0.5))
    return cover * (relief + _MIDDLE)
