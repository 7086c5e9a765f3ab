"""The network for patterns that stay where they are and only change in appearance: nothing has to be found first."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tiae_ros.core.networks import Network


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
        self.describe_straight = nn.Linear(pixels, descriptor_size)
        self.expand = nn.Sequential(nn.Linear(descriptor_size, hidden), nn.ReLU(), painted)
        self.expand_straight = nn.Linear(descriptor_size, pixels)
        waves = lowest_waves(channels, window_size, descriptor_size)
        with torch.no_grad():
            self.describe_straight.weight.copy_(waves)
            self.expand_straight.weight.copy_(waves.T)
        for layer in (last, painted):
            nn.init.zeros_(layer.weight)
        for layer in (last, painted, self.describe_straight, self.expand_straight):
            nn.init.zeros_(layer.bias)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        cleared = (images * self.clear(images)).flatten(1)
        return self.describe_straight(cleared) + self.describe(cleared), images.new_zeros(len(images), 2)

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.expand_straight(descriptors) + self.expand(descriptors)
        return restored.view(-1, self.channels, self.window_size, self.window_size)


def lowest_waves(channels: int, side: int, count: int) -> Tensor:
    """The window's cosine waves of lowest frequency, orthonormal rows: (count, channels · side · side).

    Channels take turns at each frequency; where there are more numbers than waves, the rest is 0.
    """
    place, frequency = torch.arange(side) + 0.5, torch.arange(side)[:, None]
    line = torch.cos(math.pi / side * frequency * place) * math.sqrt(2.0 / side)  # (frequency, place)
    line[0] /= math.sqrt(2.0)
    order = sorted(
        (x * x + y * y, channel, y, x) for y in range(side) for x in range(side) for channel in range(channels)
    )
    waves = torch.zeros(count, channels, side, side)
    for wave, (_, channel, y, x) in zip(waves, order, strict=False):
        wave[channel] = line[y][:, None] * line[x][None, :]
    return waves.flatten(1)
