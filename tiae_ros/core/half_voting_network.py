"""The default network: find the pattern, look at it where it is, describe it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.half_weights import ROW_FACTORS
from tiae_ros.core.networks import Network
from tiae_ros.core.pattern_layers import make_eyes, make_painter, silence, straight_layers
from tiae_ros.core.shifts import shift_images_subpixel


class CentreVotes(nn.Module):
    """Where patterns lie: each 2×2 block of a window votes for the pattern's centre, with a weight.

    The convolutions have no bias: a blank surrounding stays exactly 0 through all layers, so that the window's
    edge, where zeros come in, looks like any other blank place. Votes move with the pattern by themselves, exactly
    for even shifts and within a few hundredths of a pixel for odd ones. Nothing says where a pattern's centre
    is: the objective's invariance does. Visible parts vote even where others are cut off.
    """

    def __init__(self, channels: int, window_size: int, *, width: int = 16) -> None:
        super().__init__()
        self.voters = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2, bias=False),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(width, width, 5, padding=2, bias=False),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=4, dilation=2, bias=False),
            nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )
        half = window_size // 2
        axis = 2.0 * torch.arange(half, dtype=torch.float32) - (half - 1)  # pixels from the window's centre
        places = torch.stack((axis.expand(half, half), axis[:, None].expand(half, half)))  # (2, S/2, S/2): x, y
        self.places: Tensor
        self.register_buffer("places", places, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The votes' mean, relative to the window's centre: (N, C, S, S) -> (N, 2) pixels, x right, y down."""
        votes = self.voters(images).float()  # (N, 3, S/2, S/2): offset x, offset y, log weight
        # a block's own pixels and those around it; blank places are silent
        ink = F.avg_pool2d(images.float().abs().sum(1, keepdim=True), 4, stride=2, padding=1)
        weights = ink * torch.exp(votes[:, 2:].clamp(-8.0, 8.0))  # (N, 1, S/2, S/2)
        centres: Tensor = (weights * (votes[:, :2] + self.places)).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1e-6)
        return centres


class HalfVotingNetwork(Network):
    """Votes find the pattern's centre, the window is re-centred there and described; restored by a painter.

    The window is re-centred below a pixel by bilinear interpolation (Jaderberg et al. 2015, Spatial Transformer
    Networks). Moving by whole pixels blurs nothing, but a centre near the middle between two pixels then
    falls on either, and descriptors jump (digits, 15 epochs: dispersion 0.02 to 0.04 instead of 0.012, and restoration
    no better).
    """

    def __init__(self, channels: int, window_size: int, descriptor_size: int, *, hidden: int = 256) -> None:
        super().__init__(channels, window_size, descriptor_size)
        self.find_centre = CentreVotes(channels, window_size)
        self.eyes = make_eyes(channels, window_size, hidden, second_kernel=5, activation=nn.SiLU)
        self.describe = nn.Linear(hidden, descriptor_size)
        self.correct = nn.Linear(hidden, 2)  # what remains between the votes' centre and the pattern's origin
        silence(self.describe)
        silence(self.correct)
        self.describe_straight, self.expand_straight = straight_layers(channels, window_size, descriptor_size)
        self.expand = make_painter(channels, window_size, descriptor_size, hidden, activation=nn.SiLU, silent=True)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        centre = self.find_centre(images)
        still = shift_images_subpixel(images.float(), -centre)
        seen = self.eyes(still)  # (N, hidden)
        return self.describe(seen) + self.describe_straight(still.flatten(1)), centre + self.correct(seen)

    def decode(self, descriptors: Tensor) -> Tensor:
        painted: Tensor = self.expand(descriptors)
        straight: Tensor = self.expand_straight(descriptors)
        return painted + straight.view_as(painted)

    def joined(self) -> Network:
        return JoinedHalfVotingNetwork(self)


class JoinedHalfVotingNetwork(Network):
    """A trained `HalfVotingNetwork` for inference: what is multiplied by the same values is one matrix product.

    At batch 1 a small product takes less time than the call. What the eyes' convolutions leave is taken in the order in
    which it lies there, a pixel's channels side by side.
    """

    def __init__(self, trained: HalfVotingNetwork) -> None:
        super().__init__(trained.channels, trained.window_size, trained.descriptor_size)
        self.find_centre = trained.find_centre
        eyes = list(trained.eyes.children())
        flatten = next(index for index, layer in enumerate(eyes) if isinstance(layer, nn.Flatten))
        gather = eyes[flatten + 1]
        assert isinstance(gather, nn.Linear)
        quarter = trained.window_size // 4
        by_place = gather.weight.view(gather.out_features, -1, quarter, quarter).permute(0, 2, 3, 1).flatten(1)
        self.look = nn.Sequential(*eyes[:flatten])
        moved = _linear(by_place, gather.bias)
        setattr(moved, ROW_FACTORS, getattr(gather, ROW_FACTORS, None))
        self.gather = nn.Sequential(moved, *eyes[flatten + 2 :])
        describe, correct, straight = trained.describe, trained.correct, trained.describe_straight
        silent = straight.weight.new_zeros(correct.out_features, straight.in_features)
        self.tell = _linear(  # (hidden + C · S · S) -> (K + 2)
            torch.cat((torch.cat((describe.weight, straight.weight), 1), torch.cat((correct.weight, silent), 1))),
            torch.cat((describe.bias + straight.bias, correct.bias)),
        )
        first, *paint = trained.expand.children()
        assert isinstance(first, nn.Linear)
        self.begin = _linear(  # K -> hidden + C · S · S
            torch.cat((first.weight, trained.expand_straight.weight)),
            torch.cat((first.bias, trained.expand_straight.bias)),
        )
        self.hidden = first.out_features
        self.paint = nn.Sequential(*paint)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        centre = self.find_centre(images)
        return self.described(shift_images_subpixel(images.float(), -centre), centre)

    def described(self, still: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors and shifts of re-centred windows (N, >= C, S, S); straight layers see their first C channels."""
        seen = self.gather(self.look(still).permute(0, 2, 3, 1).flatten(1))  # (N, hidden)
        told: Tensor = self.tell(torch.cat((seen, still[:, : self.channels].flatten(1)), 1))
        return told[:, : self.descriptor_size], centre + told[:, self.descriptor_size :]

    def decode(self, descriptors: Tensor) -> Tensor:
        begun: Tensor = self.begin(descriptors)
        painted: Tensor = self.paint(begun[:, : self.hidden])
        return painted + begun[:, self.hidden :].reshape(painted.shape)


def _linear(weights: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer with weights that are there."""
    layer = nn.Linear(weights.shape[1], weights.shape[0], device="meta")
    layer.weight = nn.Parameter(weights.detach(), requires_grad=False)
    layer.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)  # type: ignore[assignment]
    return layer
