"""The slides' networks: a fully connected or convolutional encoder and a fully connected decoder.

slide-fc    1024–1500–150–30 fully connected, decoder 30–150–1500–1024 (slides, "Auto-encoder structure")
slide-cnn   9×9 convolution to 16 channels, max-pooling to 12×12, 1500–150–30; the same decoder
"""

from __future__ import annotations

from torch import Tensor, nn

from tiae_training.networks.network import Encoded, Network


class SlideNetwork(Network):
    """R(I), whose layers the slides do not give, is a small CNN of its own, trained beside encoder and decoder."""

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, convolution: bool, hidden: int = 1500
    ) -> None:
        super().__init__(channels, window_size, descriptor_size)
        pixels = channels * window_size * window_size
        first: list[nn.Module] = [nn.Flatten()]
        inputs = pixels
        if convolution:
            if window_size < 9:
                raise ValueError(f"window_size must be at least 9 for a convolution of 9×9, not {window_size}")
            pooled = (window_size - 7) // 2  # 32 -> 24 by the 9×9 convolution -> 12 by max-pooling
            first = [nn.Conv2d(channels, 16, 9), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten()]
            inputs = 16 * pooled * pooled
        self.encoder = nn.Sequential(
            *first,
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden // 10),
            nn.ReLU(),
            nn.Linear(hidden // 10, descriptor_size),
        )
        self.decoder = nn.Sequential(
            nn.Linear(descriptor_size, hidden // 10),
            nn.ReLU(),
            nn.Linear(hidden // 10, hidden),
            nn.ReLU(),
            nn.Linear(hidden, pixels),
            nn.Unflatten(1, (channels, window_size, window_size)),
        )
        quarter = -(-window_size // 4)  # what two strides of 2 leave of a side
        self.shift_regressor = nn.Sequential(
            nn.Conv2d(channels, 16, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * quarter * quarter, 256),
            nn.ReLU(),
            nn.Linear(256, 2),
        )

    def encode_all(self, images: Tensor) -> Encoded:
        return Encoded(self.encoder(images), self.shift_regressor(images))

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.decoder(descriptors)
        return restored
