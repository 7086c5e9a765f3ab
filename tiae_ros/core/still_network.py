"""The network for patterns that stay where they are and only change in appearance: nothing has to be found first."""

from __future__ import annotations

from torch import Tensor, nn

from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import make_eyes


class StillNetwork(Network):
    """Eyes, descriptor, painter, each with a straight (linear) path beside it.

    Where patterns stand still their principal components already restore strokes sharply, given enough numbers
    (digits, 30: IoU 0.74; 64: 0.86; 128: 0.92). The straight paths find those within an epoch, and the layers beside
    them are left with what is not linear: telling the pattern from what lies behind it.
    Its shifts are 0: what it restores lies where the input shows it.
    """

    def __init__(self, channels: int, window_size: int, descriptor_size: int, *, hidden: int = 512) -> None:
        super().__init__(channels, window_size, descriptor_size)
        pixels = channels * window_size * window_size
        self.eyes = make_eyes(channels, window_size, hidden, deep=True)
        self.describe = nn.Linear(hidden, descriptor_size)
        self.describe_straight = nn.Linear(pixels, descriptor_size, bias=False)
        self.expand = nn.Sequential(nn.Linear(descriptor_size, hidden), nn.ReLU(), nn.Linear(hidden, pixels))
        self.expand_straight = nn.Linear(descriptor_size, pixels, bias=False)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        descriptors = self.describe(self.eyes(images)) + self.describe_straight(images.flatten(1))
        return descriptors, images.new_zeros(len(images), 2)

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.expand(descriptors) + self.expand_straight(descriptors)
        return restored.view(-1, self.channels, self.window_size, self.window_size)
