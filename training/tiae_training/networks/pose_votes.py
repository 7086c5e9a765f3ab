"""How patterns lie, are turned and how large they are: votes for centre, angle and scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_training.networks.centre_votes import block_places, mean_vote

ANGLES = 32  # columns of the log-polar grid, around the circle
RADII = 16  # rows, evenly by logarithm
_NEAREST_PX, _FARTHEST = 1.2, 0.6  # radii from here to this share of the window's side
_LOG_SCALE_LIMIT = 1.5


class PoseVotes(nn.Module):
    """Votes for the centre and, once that is known, for angle and scale: (N, C, S, S) -> poses (N, 4).

    On a log-polar grid about the centre, turning a pattern moves it around the circle and scaling it moves it along
    the radius. A convolution there, cyclic around the circle, follows both by itself: each place votes for the
    angle (relative to its own direction) and for the scale (relative to its own radius). Patterns that look alike
    under several angles get votes that cancel: their angle means nothing, and their descriptor does not need it.

    Votes for the centre are taken on half-sized maps, which cost a quarter; what is left is corrected later.
    """

    def __init__(self, channels: int, window_size: int, *, width: int = 16) -> None:
        super().__init__()
        self.window_size = window_size
        self.voters = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=4, dilation=2),
            nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )
        self.polar_voters = nn.Sequential(
            _CyclicConv(channels, width, stride=(2, 1)),
            nn.ReLU(),
            _CyclicConv(width, width),
            nn.ReLU(),
            _CyclicConv(width, width),
            nn.ReLU(),
            nn.Conv2d(width, 4, 1),
        )
        self.places: Tensor
        self.register_buffer("places", block_places(window_size), persistent=False)
        steps = torch.arange(ANGLES) * (2.0 * math.pi / ANGLES)
        radii = torch.logspace(math.log(_NEAREST_PX), math.log(_FARTHEST * window_size), RADII, base=math.e)
        directions = torch.stack((torch.cos(steps), torch.sin(steps)))
        self.directions: Tensor
        self.register_buffer("directions", directions, persistent=False)  # (2, ANGLES)
        self.log_radii: Tensor
        log_radii = radii.log() - radii.log().mean()
        self.register_buffer("log_radii", log_radii.view(-1, 2).mean(1), persistent=False)  # of each vote's two rows
        self.polar_grid: Tensor
        grid = radii[:, None, None] * directions.T[None] * (2.0 / window_size)
        self.register_buffer("polar_grid", grid, persistent=False)  # (RADII, ANGLES, 2)

    def forward(self, images: Tensor) -> Tensor:
        centre = mean_vote(self.voters(images).float(), images, self.places)
        turn = self.find_turn(images.float(), centre)
        return torch.cat((centre, turn[:, :1], turn[:, 1:].clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)), 1)

    def find_turn(self, images: Tensor, centre: Tensor) -> Tensor:
        """Angle and log scale about a centre (N, 2) in pixels: (N, C, S, S) -> (N, 2)."""
        grid = self.polar_grid[None] + (2.0 / self.window_size) * centre[:, None, None, :]
        polar = F.grid_sample(images, grid, mode="bilinear", align_corners=False)  # (N, C, RADII, ANGLES)
        votes = self.polar_voters(polar).float()  # x, y relative to the place's direction; log scale; log weight
        ink = F.avg_pool2d(_around(polar.abs().sum(1, keepdim=True), 1), (4, 3), stride=(2, 1), padding=(1, 0))[:, 0]
        weights = ink * torch.exp(votes[:, 3].clamp(-8.0, 8.0))  # (N, RADII/2, ANGLES)
        weights = weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-6)
        cos, sin = self.directions[0], self.directions[1]
        x = (weights * (votes[:, 0] * cos - votes[:, 1] * sin)).sum((1, 2))
        y = (weights * (votes[:, 0] * sin + votes[:, 1] * cos)).sum((1, 2))
        scale = (weights * (votes[:, 2] + self.log_radii[None, :, None])).sum((1, 2))
        nowhere = (x.square() + y.square()) < 1e-12  # no votes at all: keep the angle's gradient finite
        return torch.stack((torch.atan2(y, torch.where(nowhere, torch.ones_like(x), x)), scale), 1)


class _CyclicConv(nn.Module):
    """A 5×5 convolution on the log-polar grid: cyclic around the circle, zeros beyond the radii."""

    def __init__(self, inputs: int, outputs: int, *, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 5, stride=stride, padding=(2, 0))

    def forward(self, polar: Tensor) -> Tensor:
        result: Tensor = self.convolution(_around(polar, 2))
        return result


def _around(polar: Tensor, columns: int) -> Tensor:
    """Columns repeated beyond both ends of the circle; torch's own circular padding costs as much as a convolution."""
    return torch.cat((polar[..., -columns:], polar, polar[..., :columns]), 3)
