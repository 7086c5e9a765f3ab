"""The default network where patterns are turned and scaled: votes for centre, angle and scale, then describes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.networks import VotingNetwork
from tiae_ros.core.poses import bring_back
from tiae_ros.core.shifts import shift_images_subpixel

ANGLES = 32  # columns of the log-polar grid, around the circle
RADII = 16  # rows, evenly by logarithm
_NEAREST_PX, _FARTHEST = 1.2, 0.6  # radii from here to this share of the window's side
_LOG_SCALE_LIMIT = 1.5


class PoseVotingNetwork(VotingNetwork):
    """As `VotingNetwork`, with a second vote: once the centre is known, for angle and scale.

    On a log-polar grid about the centre, turning a pattern moves it around the circle and scaling it moves it along
    the radius. A convolution there, cyclic around the circle, follows both by itself: each place votes for the
    angle (relative to its own direction) and for the scale (relative to its own radius). The window, brought back
    from that pose, is what the rest of the network describes. Patterns that look alike under several angles get
    votes that cancel: their angle means nothing, and their descriptor does not need it.
    """

    def __init__(
        self, channels: int, window_size: int, descriptor_size: int, *, width: int = 16, hidden: int = 128
    ) -> None:
        super().__init__(channels, window_size, descriptor_size, width=width, hidden=hidden)
        self.polar_voters = nn.Sequential(
            _CyclicConv(channels, width),
            nn.ReLU(),
            _CyclicConv(width, width),
            nn.ReLU(),
            _CyclicConv(width, width),
            nn.ReLU(),
            nn.Conv2d(width, 4, 1),
        )
        steps = torch.arange(ANGLES) * (2.0 * math.pi / ANGLES)
        radii = torch.logspace(math.log(_NEAREST_PX), math.log(_FARTHEST * window_size), RADII, base=math.e)
        self.register_buffer("directions", torch.stack((torch.cos(steps), torch.sin(steps))), persistent=False)
        self.register_buffer("log_radii", radii.log() - radii.log().mean(), persistent=False)
        grid = radii[:, None, None] * self.directions_tensor.T[None] * (2.0 / window_size)  # (RADII, ANGLES, 2)
        self.register_buffer("polar_grid", grid, persistent=False)

    @property
    def directions_tensor(self) -> Tensor:
        directions = self.directions
        assert isinstance(directions, Tensor)
        return directions

    def find_turn(self, centred: Tensor) -> Tensor:
        """Angle and log scale of windows centred on their patterns: (N, C, S, S) -> (N, 2)."""
        grid, log_radii, directions = self.polar_grid, self.log_radii, self.directions_tensor
        assert isinstance(grid, Tensor)
        assert isinstance(log_radii, Tensor)
        count = len(centred)
        polar = F.grid_sample(
            centred, grid.to(centred.dtype)[None].expand(count, -1, -1, -1), mode="bilinear", align_corners=False
        )  # (N, C, RADII, ANGLES)
        votes = self.polar_voters(polar).float()  # x, y relative to the place's direction; log scale; log weight
        ink = F.avg_pool2d(polar.float().abs().sum(1, keepdim=True), 3, stride=1, padding=1)[:, 0]
        weights = ink * torch.exp(votes[:, 3].clamp(-8.0, 8.0))
        weights = weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-6)
        cos, sin = directions[0], directions[1]
        x = (weights * (votes[:, 0] * cos - votes[:, 1] * sin)).sum((1, 2))
        y = (weights * (votes[:, 0] * sin + votes[:, 1] * cos)).sum((1, 2))
        scale = (weights * (votes[:, 2] + log_radii[None, :, None])).sum((1, 2))
        nowhere = (x.square() + y.square()) < 1e-12  # no votes at all: keep the angle's gradient finite
        return torch.stack((torch.atan2(y, torch.where(nowhere, torch.ones_like(x), x)), scale), 1)

    def forward_encoder(self, images: Tensor) -> tuple[Tensor, Tensor]:
        centre = self.find_centre(images).float()
        turn = self.find_turn(shift_images_subpixel(images.float(), -centre))
        pose = torch.cat((centre, turn[:, :1], turn[:, 1:].clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)), 1)
        seen = self.eyes(bring_back(images.float(), pose))
        return self.describe(seen), pose


class _CyclicConv(nn.Module):
    """A 5×5 convolution on the log-polar grid: cyclic around the circle, zeros beyond the radii."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 5)

    def forward(self, polar: Tensor) -> Tensor:
        padded = F.pad(F.pad(polar, (2, 2, 0, 0), mode="circular"), (0, 0, 2, 2))
        result: Tensor = self.convolution(padded)
        return result
