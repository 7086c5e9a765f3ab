"""What describes and restores a pattern once it stands still: eyes, a painter, and straight (linear) layers.

Eyes and painter keep to half the window's resolution and below: on a CPU a layer of full-sized maps costs as much as
all others. Most weights are in fully connected layers, which a still pattern allows and a processor multiplies fastest.

Beside them, straight layers begin as the window's lowest spatial frequencies: from the first step on, what is restored
is the window itself, a little blurred, and training only has to bring it into the pattern's own pose. Without them it
begins with one blurred picture for all and takes ten epochs to leave it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def make_eyes(
    channels: int,
    window_size: int,
    hidden: int,
    *,
    width: int = 32,
    second_kernel: int = 3,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """(N, C, S, S) -> features (N, hidden): two strided convolutions and a fully connected layer."""
    if window_size % 4:
        raise ValueError(f"window_size must be a multiple of 4, not {window_size}")
    quarter = window_size // 4
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, padding=2, stride=2, bias=False),
        nn.BatchNorm2d(width),
        activation(),
        nn.Conv2d(width, 2 * width, second_kernel, padding=second_kernel // 2, stride=2, bias=False),
        nn.BatchNorm2d(2 * width),
        activation(),
        nn.Flatten(),
        nn.Linear(2 * width * quarter * quarter, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        activation(),
    )


def make_painter(
    channels: int,
    window_size: int,
    descriptor_size: int,
    hidden: int,
    *,
    width: int = 16,
    activation: type[nn.Module] = nn.ReLU,
    silent: bool = False,
) -> nn.Module:
    """(N, K) -> (N, C, S, S): fully connected up to half-sized maps, which convolutions make into pixels.

    silent: it begins by adding nothing to what straight layers restore.
    """
    half = window_size // 2
    last = nn.Conv2d(32, 4 * channels, 3, padding=1)
    if silent:
        silence(last)
    return nn.Sequential(
        nn.Linear(descriptor_size, hidden),
        activation(),
        nn.Linear(hidden, width * half * half),
        activation(),
        nn.Unflatten(1, (width, half, half)),
        nn.Conv2d(width, 32, 3, padding=1),
        activation(),
        last,
        nn.PixelShuffle(2),
    )


def straight_layers(channels: int, window_size: int, descriptor_size: int) -> tuple[nn.Linear, nn.Linear]:
    """Linear layers from pixels to a descriptor and back that begin as the lowest waves of the window."""
    pixels = channels * window_size * window_size
    describe, expand = nn.Linear(pixels, descriptor_size), nn.Linear(descriptor_size, pixels)
    waves = lowest_waves(channels, window_size, descriptor_size)
    with torch.no_grad():
        describe.weight.copy_(waves)
        expand.weight.copy_(waves.T)
    nn.init.zeros_(describe.bias)
    nn.init.zeros_(expand.bias)
    return describe, expand


def silence(layer: nn.Linear | nn.Conv2d) -> None:
    """Let a layer begin by adding nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


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
