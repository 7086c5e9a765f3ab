"""The two halves of the pose network once a pattern stands still: eyes that look at it, a painter that restores it.

Both keep to half the window's resolution and below: on a CPU a layer of full-sized maps costs as much as all others.
Most of the weights are in fully connected layers, which a still pattern allows and a processor multiplies fastest.
"""

from __future__ import annotations

from torch import nn


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
) -> nn.Module:
    """(N, K) -> (N, C, S, S): fully connected up to half-sized maps, which convolutions make into pixels."""
    half = window_size // 2
    return nn.Sequential(
        nn.Linear(descriptor_size, hidden),
        activation(),
        nn.Linear(hidden, width * half * half),
        activation(),
        nn.Unflatten(1, (width, half, half)),
        nn.Conv2d(width, 32, 3, padding=1),
        activation(),
        nn.Conv2d(32, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
    )
