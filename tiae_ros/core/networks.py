"""The networks: the slides' two references and the default.

Every network has the same doors, all batched over N windows (N, C, S, S):

    forward_encoder(images) -> descriptors (N, K), shifts (N, 2)     E(I) and R(I); poses (N, 4) where it has them
    decode(descriptors)     -> restored (N, C, S, S)                 D(E(I))

The output is linear: a sigmoid in front of a sum of squares starts by driving sparse windows to black, where its
gradient vanishes and training stays (measured: two of two seeds). The model's doors clamp to 0..1.

=================  ===========================================================================================
name               structure
=================  ===========================================================================================
voting-half        each place votes for the pattern's centre; the encoder sees the window re-centred there (default)
voting-surface     as voting-half with deeper eyes, for masks and depth: depth lies on what the masks cover
voting-relief      the same for depth alone, restored as an outline and a surface
voting             the first release's, with a vote of every pixel; models made with it go on working
voting-pose        as voting, and votes for angle and scale on a log-polar grid (`tiae_ros.core.pose_network`)
still              for patterns that do not move: no votes, the window as it is (`tiae_ros.core.still_network`)
slide-fc           1024–1500–150–30 fully connected, decoder 30–150–1500–1024 (slides, "Auto-encoder structure")
slide-cnn          9×9 convolution to 16 channels, max-pooling to 12×12, 1500–150–30; the same decoder
=================  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.shifts import shift_images_subpixel


class Network(nn.Module):
    """What every encoder-decoder pair offers; `channels`, `window_size`, `descriptor_size` say its sizes."""

    def __init__(self, channels: int, window_size: int, descriptor_size: int) -> None:
        super().__init__()
        self.channels = channels
        self.window_size = window_size
        self.descriptor_size = descriptor_size

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """E(I) and R(I): (N, C, S, S) -> (N, K), (N, 2); R's (N, 4) are poses (`tiae_ros.core.poses`)."""
        raise NotImplementedError

    def decode(self, descriptors: Tensor) -> Tensor:
        """D: (N, K) -> (N, C, S, S), not clamped."""
        raise NotImplementedError

    def joined(self) -> Network:
        """For inference, of a copy: the same function to rounding with fewer steps, where a network knows them."""
        return self


class VotingNetwork(Network):
    """Find the pattern, look at it where it is, describe it: `HalfVotingNetwork` with votes of every pixel.

    A small fully convolutional net, which is shift-equivariant by itself, lets each place of the window vote for
    the pattern's centre (an offset and a weight). The weighted mean of the votes re-centres the window by
    bilinear interpolation and a plain CNN describes that. Nothing tells it where a pattern's centre is: the
    objective's invariance term does. Votes by visible parts also find the centre of patterns that are cut off.
    Re-centring by a learned map follows Jaderberg et al. 2015 (Spatial Transformer Networks).
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, width: int = 16, hidden: int = 128
    ) -> None:
        super().__init__(channels, window_size, descriptor_size)
        if window_size % 4:
            raise ValueError(f"window_size must be a multiple of 4, not {window_size}")
        quarter = window_size // 4
        self.voters = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=4, dilation=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=6, dilation=3),
            nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )
        self.eyes = nn.Sequential(
            nn.Conv2d(channels, 2 * width, 5, padding=2, stride=2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 5, padding=2, stride=2, bias=False),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * width * quarter * quarter, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
        )
        self.describe = nn.Linear(hidden, descriptor_size)
        self.correct = nn.Linear(hidden, 2)  # what remains between the votes' centre and the pattern's origin
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.expand = nn.Sequential(
            nn.Linear(descriptor_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 4 * width * quarter * quarter),
            nn.ReLU(),
            nn.Unflatten(1, (4 * width, quarter, quarter)),
            nn.Conv2d(4 * width, 8 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * channels, 5, padding=2),
            nn.PixelShuffle(2),
        )
        axis = torch.arange(window_size, dtype=torch.float32) - (window_size - 1) / 2
        self.register_buffer("axis", axis, persistent=False)

    def find_centre(self, images: Tensor) -> Tensor:
        """The votes' mean, relative to the window's centre: (N, C, S, S) -> (N, 2) pixels."""
        votes = self.voters(images)  # (N, 3, S, S): offset x, offset y, log weight
        axis = self.axis
        assert isinstance(axis, Tensor)
        ink = F.avg_pool2d(images.abs().sum(1, keepdim=True), 3, stride=1, padding=1)[:, 0]  # blank places are silent
        weights = ink * torch.exp(votes[:, 2].clamp(-8.0, 8.0))  # (N, S, S)
        total = weights.sum((1, 2)).clamp_min(1e-6)
        x = (weights * (votes[:, 0] + axis[None, None, :])).sum((1, 2)) / total
        y = (weights * (votes[:, 1] + axis[None, :, None])).sum((1, 2)) / total
        return torch.stack((x, y), 1)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        centre = self.find_centre(images)
        seen = self.eyes(shift_images_subpixel(images, -centre))  # (N, 16·width)
        return self.describe(seen), centre + self.correct(seen)

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.expand(descriptors)
        return restored


class SlideNetwork(Network):
    """The slides' networks: a fully connected or convolutional encoder and a fully connected decoder.

    R(I), whose layers the slides do not give, is a small CNN of its own, trained beside them.
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, convolution: bool, hidden: int = 1500
    ) -> None:
        super().__init__(channels, window_size, descriptor_size)
        pixels = channels * window_size * window_size
        first: list[nn.Module] = [nn.Flatten()]
        inputs = pixels
        if convolution:
            pooled = (window_size - 8) // 2  # 32 -> 24 by the 9×9 convolution -> 12 by max-pooling
            first = [nn.Conv2d(channels, 16, 9), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
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
        quarter = window_size // 4
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

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(images), self.shift_regressor(images)

    def decode(self, descriptors: Tensor) -> Tensor:
        restored: Tensor = self.decoder(descriptors)
        return restored


def _slide_fc(channels: int, window_size: int, descriptor_size: int) -> Network:
    return SlideNetwork(channels, window_size, descriptor_size, convolution=False)


def _slide_cnn(channels: int, window_size: int, descriptor_size: int) -> Network:
    return SlideNetwork(channels, window_size, descriptor_size, convolution=True)


def _voting_pose(channels: int, window_size: int, descriptor_size: int) -> Network:
    from tiae_ros.core.pose_network import PoseVotingNetwork  # it builds on VotingNetwork above

    return PoseVotingNetwork(channels, window_size, descriptor_size)


def _voting_half(channels: int, window_size: int, descriptor_size: int) -> Network:
    from tiae_ros.core.half_voting_network import HalfVotingNetwork  # it builds on Network above

    return HalfVotingNetwork(channels, window_size, descriptor_size)


def _voting_surface(channels: int, window_size: int, descriptor_size: int) -> Network:
    from tiae_ros.core.surface_network import SurfaceNetwork  # it builds on Network above

    return SurfaceNetwork(channels, window_size, descriptor_size)


def _voting_relief(channels: int, window_size: int, descriptor_size: int) -> Network:
    from tiae_ros.core.relief_network import ReliefNetwork  # it builds on Network above

    return ReliefNetwork(channels, window_size, descriptor_size)


def _still(channels: int, window_size: int, descriptor_size: int) -> Network:
    from tiae_ros.core.still_network import StillNetwork  # it builds on Network above

    return StillNetwork(channels, window_size, descriptor_size)


NETWORKS: dict[str, Callable[[int, int, int], Network]] = {
    "voting-half": _voting_half,
    "voting-surface": _voting_surface,
    "voting-relief": _voting_relief,
    "voting": VotingNetwork,
    "voting-pose": _voting_pose,
    "still": _still,
    "slide-fc": _slide_fc,
    "slide-cnn": _slide_cnn,
}
DEFAULT_NETWORK = "voting-half"
POSE_NETWORK = "voting-pose"  # the default where patterns are turned or scaled
