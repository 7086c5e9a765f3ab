"""The network for patterns that stay where they are and only change in appearance: nothing has to be found first."""

from __future__ import annotations

from torch import Tensor, nn

from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import silence, straight_layers


class StillNetwork(Network):
    """Clears the window of what lies behind the pattern, describes what is left, paints it again.

    Where patterns stand still a straight (linear) descriptor restores strokes sharply, given enough numbers
    (`benchmarks/descriptor_size.py`). So the work is in clearing: a few convolutions, the same at every place, say how
    much of each pixel is the pattern. Describing and painting start as the window's lowest spatial frequencies (its
    cosine transform), which training turns into the patterns' own components; layers beside them add what is not
    linear. Its shifts are 0: what it restores lies where the input shows it.
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, width: int = 32, hidden: int = 512
    ) -> None:
        super().__init__(channels, window_size, descriptor_size)
        if window_size % 2:
            raise ValueError(f"window_size must be even, not {window_size}")
        pixels = channels * window_size * window_size
        self.clear = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2, stride=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Sigmoid(),
        )
        last, painted = nn.Linear(hidden, descriptor_size), nn.Linear(hidden, pixels)
        self.describe = nn.Sequential(nn.Linear(pixels, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), last)
        self.expand = nn.Sequential(nn.Linear(descriptor_size, hidden), nn.ReLU(), painted)
        self.describe_straight, self.expand_straight = straight_layers(channels, window_size, descriptor_size)
        silence(last)
        silence(painted)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        cleared = (images * self.clear(images)).flatten(1)
        return self.describe_straight(cleared) + self.describe(cleared), images.new_zeros(len(images), 2)

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.expand_straight(descriptors) + self.expand(descriptors)
        return restored.view(-1, self.channels, self.window_size, self.window_size)
