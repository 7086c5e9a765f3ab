"""The modern family: find the pattern, look at it where it is, describe it, restore it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_training.networks.centre_votes import CentreVotes
from tiae_training.networks.config import NetworkConfig
from tiae_training.networks.layers import (
    ACTIVATIONS,
    linear_decoder,
    linear_path,
    make_decoder,
    make_trunk,
    shuffled_up,
    zero_init,
)
from tiae_training.networks.network import Encoded, Network
from tiae_training.networks.polar_trunk import PolarTrunk
from tiae_training.networks.pose_votes import PoseVotes, Votes
from tiae_training.networks.steering import Steering
from tiae_training.transforms.poses import bring_back, compose
from tiae_training.transforms.shifts import shift_images_subpixel

FINDS_POSE = ("find_pose.", "pose_head.")  # names of the weights that do so begin with
STEERS = ("steering.",)  # and of those that tell turns apart
_STEEPNESS = 6.0  # of a relief's step from nothing to something, at the middle
_MIDDLE = 0.5  # depth value about which a hand's surface lies
_FULL = 0.125  # depth value from which on a pixel counts as covered


class PatternNetwork(Network):
    """Votes find the pattern's pose, the window is brought back from it and described; a decoder restores it.

    *Pose.* The window is brought back below a pixel by bilinear interpolation (Jaderberg et al. 2015, Spatial
    Transformer Networks). Moving by whole pixels blurs nothing, but a centre near the middle between two pixels then
    falls on either, and descriptors jump (digits, 15 epochs: dispersion 0.02 to 0.04 instead of 0.012, and restoration
    no better). For a static pattern there is nothing to find, and its shifts are 0.

    A polar trunk needs the centre alone: what it says of a pattern is the same however that is turned or mirrored, and
    its pose is what is voted for.

    *What is seen.* Where a pattern stands before something, a few convolutions, the same at every place, say how much
    of each pixel is the pattern, and the rest is cleared away: what lies behind would vote too. Of depth alone votes
    and trunk are shown the outline too, so that what is near does not count for more than what is far.

    *What is told apart.* Where a descriptor is steerable, two of its numbers say how the pattern is turned in the
    plane, and the others are the same however it is (`tiae_training.networks.steering`).

    *What is restored.* Depth drawn like any other channel repeats the masks' outlines, each a jump from nothing to a
    surface, and most of what a descriptor can say goes into saying them twice: on masks it is the product of a surface
    without outlines and of what the masks cover. Of depth alone, the outline is a factor of its own, steep where it is
    unsure by little, which begins as what the linear path restores.
    """

    def __init__(self, config: NetworkConfig, channels: int, window_size: int, descriptor_size: int) -> None:
        super().__init__(channels, window_size, descriptor_size)
        self.config = config
        seen = 2 * channels if config.seen == "outlined" else channels
        drawn = 2 * channels if config.restored == "relief" else channels
        activation = ACTIVATIONS[config.activation]
        if config.seen == "cleared":
            self.clear = _clearing_layers(channels, window_size)
        if config.pose != "none":
            self.find_pose = _votes(config.pose, seen, window_size)
        self.trunk: nn.Sequential | PolarTrunk
        if self.is_polar:
            self.trunk = PolarTrunk(seen, config.hidden, config.activation, mirrored=config.pose == "mirrored")
        else:
            self.trunk = make_trunk(config.trunk, seen, window_size, config.hidden, activation)
        self.head = nn.Linear(config.hidden, descriptor_size)
        if self.is_polar:
            self.linear_decoder = linear_decoder(channels, window_size, descriptor_size)
        else:
            zero_init(self.head)
            if config.pose != "none":  # what remains between the votes' pose and the pattern's own
                self.pose_head = nn.Linear(config.hidden, 2 if config.pose == "shift" else 4)
                zero_init(self.pose_head)
            self.linear_encoder, self.linear_decoder = linear_path(channels, window_size, descriptor_size)
        self.steering = Steering(descriptor_size, config.hidden) if config.descriptor == "steerable" else None
        kind = "dense" if config.trunk == "dense" else "convolution"
        self.decoder = make_decoder(kind, drawn, window_size, descriptor_size, config.decoder_hidden, activation)

    @property
    def is_polar(self) -> bool:
        """Whether descriptors are read on the polar grid, without the angle that is found there."""
        return self.config.trunk == "polar"

    def encode_all(self, images: Tensor) -> Encoded:
        seen = self._seen(images)
        cleared = seen if self.config.seen == "cleared" else None
        if self.config.pose == "none":
            descriptors, _ = self._describe(seen)
            return Encoded(descriptors, images.new_zeros(images.shape[0], 2), cleared=cleared)
        if self.config.pose == "shift":
            centres: Tensor = self.find_pose(seen)
            descriptors, features = self._describe(shift_images_subpixel(seen.float(), -centres))
            return Encoded(descriptors, centres + self.pose_head(features), cleared=cleared)
        votes: Votes = self.find_pose(seen)
        if self.is_polar:
            assert isinstance(self.find_pose, PoseVotes)
            descriptors = self.head(self.trunk(self.find_pose.about(seen, votes.poses[:, :2])))
            return Encoded(descriptors, votes.poses, votes.confidence, votes.logits, cleared)
        descriptors, features = self._describe(bring_back(seen.float(), votes.poses))
        correction = self.pose_head(features).float()
        if self.config.pose == "mirrored":
            correction = F.pad(correction, (0, 1))
        poses = compose(votes.poses, correction)
        return Encoded(descriptors, poses, votes.confidence, votes.logits, cleared)

    def decode(self, descriptors: Tensor) -> Tensor:
        if self.steering is not None:
            descriptors = self.steering.codes_of(descriptors)
        drawn: Tensor = self.decoder(descriptors)  # before the linear path: gradients are added in this order
        linear = self.linear_decoder(descriptors).view(-1, self.channels, self.window_size, self.window_size)
        if self.config.restored == "relief":
            return _relief(drawn, linear)
        restored = drawn + linear
        return _on_masks(restored) if self.config.restored == "on_masks" else restored

    def _seen(self, images: Tensor) -> Tensor:
        if self.config.seen == "cleared":
            return images * self.clear(images)
        if self.config.seen == "outlined":  # depth, and how much of each pixel there is, as far as depth tells
            return torch.cat((images.float(), (images.float() / _FULL).clamp(0.0, 1.0)), 1)
        return images

    def _describe(self, upright: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors (N, K) and features (N, hidden) of windows brought back from their pose."""
        features = self.trunk(upright)
        linear: Tensor = self.linear_encoder(upright[:, : self.channels].flatten(1))
        codes = self.head(features) + linear
        return codes if self.steering is None else self.steering.describe(codes, features), features


def _votes(pose: str, channels: int, window_size: int) -> nn.Module:
    if pose == "shift":
        return CentreVotes(channels, window_size)
    return PoseVotes(channels, window_size, mirrored=pose == "mirrored")


def _clearing_layers(channels: int, window_size: int, width: int = 32) -> nn.Sequential:
    """(N, C, S, S) -> how much of each pixel is the pattern, 0..1."""
    return nn.Sequential(
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
        *shuffled_up(window_size),
        nn.Sigmoid(),
    )


def _on_masks(restored: Tensor) -> Tensor:
    """The last channel times the share that the channels before it cover: (N, C, S, S) -> the same.

    Its errors do not move the outlines: those are the masks' own affair. A single channel stays as it is.
    """
    if restored.shape[1] < 2:
        return restored
    masks, surface = restored[:, :-1], restored[:, -1:]
    cover = masks.detach().sum(1, keepdim=True).clamp(0.0, 1.0)
    return torch.cat((masks, surface * cover), 1)


def _relief(drawn: Tensor, linear: Tensor) -> Tensor:
    """Surfaces and outlines (N, 2 C, S, S), and what the linear path restores (N, C, S, S) -> (N, C, S, S)."""
    surface, outline = drawn.chunk(2, 1)
    cover = torch.sigmoid(_STEEPNESS * (linear / _MIDDLE + outline - 0.5))
    return cover * (surface + _MIDDLE)
