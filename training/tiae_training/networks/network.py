"""What all networks have in common, and how one is built from its configuration."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from tiae_training.networks.config import NetworkConfig


class Encoded(NamedTuple):
    """What an encoder finds in N windows; the last three are None where a network has no such part.

    descriptors: E(I), (N, K).
    parameters: R(I): shifts (N, 2), or poses (N, 4 or 5) (`tiae_training.transforms.poses`).
    confidence: of the angle, (N, 2); logits: of all angles (`tiae_training.networks.pose_votes.Votes`).
    cleared: the window without what lies behind the pattern, (N, C, S, S).
    """

    descriptors: Tensor
    parameters: Tensor
    confidence: Tensor | None = None
    logits: Tensor | None = None
    cleared: Tensor | None = None


class Network(nn.Module):
    """What every encoder-decoder pair offers; `channels`, `window_size`, `descriptor_size` say its sizes."""

    def __init__(self, channels: int, window_size: int, descriptor_size: int) -> None:
        super().__init__()
        self.channels = channels
        self.window_size = window_size
        self.descriptor_size = descriptor_size

    def encode_all(self, images: Tensor) -> Encoded:
        """Windows (N, C, S, S) -> `Encoded`."""
        raise NotImplementedError

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """E(I) and R(I) alone: (N, C, S, S) -> (N, K), (N, 2, 4 or 5)."""
        encoded = self.encode_all(images)
        return encoded.descriptors, encoded.parameters

    def decode(self, descriptors: Tensor) -> Tensor:
        """D: (N, K) -> (N, C, S, S), not clamped."""
        raise NotImplementedError


def build_network(config: NetworkConfig, channels: int, window_size: int, descriptor_size: int) -> Network:
    """A fresh network. Raises ValueError for a window size that is too small for its layers."""
    from tiae_training.networks.pattern import PatternNetwork
    from tiae_training.networks.slide import SlideNetwork

    if config.name.startswith("slide-"):
        return SlideNetwork(channels, window_size, descriptor_size, convolution=config.name == "slide-cnn")
    return PatternNetwork(config, channels, window_size, descriptor_size)
