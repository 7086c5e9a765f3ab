"""What describes and restores a pattern once its pose is undone: trunk, decoder, and a linear path beside them.

Trunk and decoder keep to half the window's resolution and below: on a CPU a layer of full-sized maps costs as much as
all others. Most weights are in fully connected layers, which a centred pattern allows and a processor multiplies
fastest. Sides that are no multiple of 4 are halved upwards, so that no pixel is left out.

The linear path begins as the window's lowest spatial frequencies: from the first step on, what is restored is the
window itself, a little blurred, and training only has to bring it into the pattern's own pose. Without it training
begins with one blurred picture for all and takes ten epochs to leave it.
"""

from __future__ import annotations

import heapq
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


def make_trunk(kind: str, channels: int, window_size: int, hidden: int, activation: type[nn.Module]) -> nn.Sequential:
    """(N, C, S, S) -> features (N, hidden): strided convolutions and a fully connected layer, or the latter alone."""
    if kind == "dense":
        pixels = channels * window_size * window_size
        return nn.Sequential(nn.Flatten(), *_dense(pixels, hidden, activation))
    quarter = -(-window_size // 4)  # what two strides of 2 leave of a side
    if kind == "residual":
        return nn.Sequential(
            *_convolution(channels, 32, 5, activation, stride=2),
            *_convolution(32, 64, 3, activation, stride=2),
            ResidualBlock(64),
            *_convolution(64, 32, 1, activation),
            nn.Flatten(),
            *_dense(32 * quarter * quarter, hidden, activation),
        )
    second_kernel = 5 if activation is nn.SiLU else 3
    return nn.Sequential(
        *_convolution(channels, 32, 5, activation, stride=2),
        *_convolution(32, 64, second_kernel, activation, stride=2),
        nn.Flatten(),
        *_dense(64 * quarter * quarter, hidden, activation),
    )


def make_decoder(
    kind: str, channels: int, window_size: int, descriptor_size: int, hidden: int, activation: type[nn.Module]
) -> nn.Sequential:
    """(N, K) -> (N, C, S, S): fully connected up to half-sized maps, which convolutions make into pixels; or dense.

    Its last layer is zero-initialised: it begins by adding nothing to what the linear path restores.
    """
    if kind == "dense":
        pixels = nn.Linear(hidden, channels * window_size * window_size)
        zero_init(pixels)
        shape = (channels, window_size, window_size)
        return nn.Sequential(nn.Linear(descriptor_size, hidden), activation(), pixels, nn.Unflatten(1, shape))
    half = (window_size + 1) // 2
    last = nn.Conv2d(32, 4 * channels, 3, padding=1)
    zero_init(last)
    return nn.Sequential(
        nn.Linear(descriptor_size, hidden),
        activation(),
        nn.Linear(hidden, 16 * half * half),
        activation(),
        nn.Unflatten(1, (16, half, half)),
        nn.Conv2d(16, 32, 3, padding=1),
        activation(),
        last,
        *shuffled_up(window_size),
    )


def shuffled_up(window_size: int) -> list[nn.Module]:
    """Layers from half-sized maps (N, 4 C, ⌈S/2⌉, ⌈S/2⌉) to pixels (N, C, S, S)."""
    return [nn.PixelShuffle(2), *([_WithoutLast()] if window_size % 2 else [])]


def in_blocks(images: Tensor, side: int = 2) -> Tensor:
    """Windows that blocks of side × side pixels cover: zeros are added right and below as needed. (N, C, S, S)."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % side, 0, -height % side)) if height % side or width % side else images


class _WithoutLast(nn.Module):
    """Without the last row and column."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels[..., :-1, :-1]


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what goes in (He et al. 2016)."""

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


def linear_path(channels: int, window_size: int, descriptor_size: int) -> tuple[nn.Linear, nn.Linear]:
    """Linear layers from pixels to a descriptor and back that begin as the lowest waves of the window."""
    encoder = nn.Linear(channels * window_size * window_size, descriptor_size)
    with torch.no_grad():
        encoder.weight.copy_(lowest_waves(channels, window_size, descriptor_size))
    nn.init.zeros_(encoder.bias)
    return encoder, linear_decoder(channels, window_size, descriptor_size)


def linear_decoder(channels: int, window_size: int, descriptor_size: int) -> nn.Linear:
    """The way back alone, of a descriptor that is not the window's lowest waves."""
    decoder = nn.Linear(descriptor_size, channels * window_size * window_size)
    with torch.no_grad():
        decoder.weight.copy_(lowest_waves(channels, window_size, descriptor_size).T)
    nn.init.zeros_(decoder.bias)
    return decoder


def zero_init(layer: nn.Linear | nn.Conv2d) -> None:
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
    every = ((x * x + y * y, channel, y, x) for y in range(side) for x in range(side) for channel in range(channels))
    order = heapq.nsmallest(count, every)
    waves = torch.zeros(count, channels, side, side)
    for wave, (_, channel, y, x) in zip(waves, order, strict=False):
        wave[channel] = line[y][:, None] * line[x][None, :]
    return waves.flatten(1)


def _convolution(
    inputs: int, outputs: int, kernel: int, activation: type[nn.Module], *, stride: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, stride=stride, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    ]


def _dense(inputs: int, outputs: int, activation: type[nn.Module]) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), activation()]
