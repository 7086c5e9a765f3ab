"""What all networks have in common, and how one is built from its configuration."""

from __future__ import annotations

from torch import Tensor, nn

from tiae_training.networks.config import NetworkConfig


class Network(nn.Module):
    """What every encoder-decoder pair offers; `channels`, `window_size`, `descriptor_size` say its sizes."""

    def __init__(self, channels: int, window_size: int, descriptor_size: int) -> None:
        super().__init__()
        self.channels = channels
        self.window_size = window_size
        self.descriptor_size = descriptor_size

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """E(I) and R(I): (N, C, S, S) -> (N, K), (N, 2); R's (N, 4) are poses (`tiae_training.transforms.poses`)."""
        raise NotImplementedError

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
