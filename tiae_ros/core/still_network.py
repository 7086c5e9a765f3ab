"""The network for patterns that stay where they are and only change in appearance: nothing has to be found first."""

from __future__ import annotations

from torch import Tensor, nn

from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import make_eyes, make_painter


class StillNetwork(Network):
    """Eyes, descriptor, painter. Its shifts are 0: what it restores lies where the input shows it."""

    def __init__(self, channels: int, window_size: int, descriptor_size: int, *, hidden: int = 512) -> None:
        super().__init__(channels, window_size, descriptor_size)
        self.eyes = make_eyes(channels, window_size, hidden)
        self.describe = nn.Linear(hidden, descriptor_size)
        self.expand = make_painter(channels, window_size, descriptor_size, hidden)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.describe(self.eyes(images)), images.new_zeros(len(images), 2)

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.expand(descriptors)
        return restored
