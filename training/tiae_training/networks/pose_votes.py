"""How patterns lie, are turned and how large they are: votes for the centre, then shares of all angles about it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tiae_training.networks.centre_votes import block_places, mean_vote
from tiae_training.networks.layers import in_blocks
from tiae_training.transforms.polar import ANGLES, RADII, STEP, on_polar_grid, polar_grid, read_backwards, wrapped

_LOG_SCALE_LIMIT = 1.5
_BESIDE = 2  # bins on either side of the likeliest that say the angle within it, and make up its confidence


class Votes(NamedTuple):
    """What is found of N patterns.

    poses: (N, 4), or (N, 5) where patterns may be mirrored (`tiae_training.transforms.poses`).
    logits: of the shares of angles (`tiae_training.networks.angle_shares`).
    confidence: (N, 2): the share of angles within 28° of the pose's, and of those within 28° of half a turn from it. A
        pattern that looks the same after half a turn has about a half each; a round one little of both.
    """

    poses: Tensor
    logits: Tensor
    confidence: Tensor


class PoseVotes(nn.Module):
    """Votes for the centre and, once that is known, for angle and scale: (N, C, S, S) -> `Votes`.

    On a polar grid about the centre, turning a pattern moves it around the circle. Convolutions there, cyclic around
    the circle and over all radii at once, follow by themselves, and say for each direction how likely it is the
    pattern's own, as TARGET-VAE does for a few angles (Nasiri & Bepler 2022, arXiv 2210.12918). The likeliest counts,
    refined by its neighbours: a mean over all would lie between the two peaks of a pattern that looks alike after half
    a turn. A mirrored pattern is the same grid read backwards, so that whether it is mirrored costs one more pass.

    Votes for the centre are taken on maps of a quarter of the window's side; what is left is corrected later.
    """

    def __init__(
        self, channels: int, window_size: int, *, mirrored: bool = False, width: int = 16, turn_width: int = 64
    ) -> None:
        super().__init__()
        self.window_size, self.mirrored = window_size, mirrored
        self.voters = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 3, 1),
        )
        self.around = nn.Sequential(
            *_around_the_circle(channels * RADII, turn_width),
            *_around_the_circle(turn_width, turn_width, dilation=2),
            *_around_the_circle(turn_width, turn_width, dilation=4),
            nn.Conv1d(turn_width, 3, 1),  # of each direction: its logit, how far off its middle, the log scale
        )
        self.places: Tensor
        self.register_buffer("places", block_places(window_size, 4), persistent=False)
        self.polar_grid: Tensor
        self.register_buffer("polar_grid", polar_grid(window_size), persistent=False)  # (RADII, ANGLES, 2)

    def forward(self, images: Tensor) -> Votes:
        centre = mean_vote(self.voters(in_blocks(images, 4)).float(), images, self.places, 4)
        said = self.say_turn(images, centre)  # (N, 3, ANGLES or 2 · ANGLES)
        logits = said[:, 0]
        shares = torch.softmax(logits, 1)
        best = logits.argmax(1)
        circle, beside = best // ANGLES, torch.arange(-_BESIDE, _BESIDE + 1, device=images.device)
        columns = (best[:, None] + beside) % ANGLES + ANGLES * circle[:, None]  # (N, 5)
        opposite = (columns + ANGLES // 2) % ANGLES + ANGLES * circle[:, None]
        weights = torch.softmax(logits.gather(1, columns), 1)
        offset = (weights * STEP * (beside + said[:, 1].gather(1, columns))).sum(1)
        angle = STEP * (best % ANGLES) + offset
        log_scale = (weights * said[:, 2].gather(1, columns)).sum(1).clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)
        mirrored = circle.to(angle.dtype)
        angle = (1.0 - 2.0 * mirrored) * torch.atan2(torch.sin(angle), torch.cos(angle))
        parts = [centre, angle[:, None], log_scale[:, None]]
        if self.mirrored:
            parts.append(mirrored[:, None])
        confidence = torch.stack((shares.gather(1, columns).sum(1), shares.gather(1, opposite).sum(1)), 1)
        return Votes(torch.cat(parts, 1), logits, confidence)

    def say_turn(self, images: Tensor, centre: Tensor) -> Tensor:
        """Logits, offsets (bins) and log scales of all directions about a centre (N, 2): (N, 3, ANGLES, or twice)."""
        columns = self.about(images, centre).flatten(1, 2)
        if not self.mirrored:
            said: Tensor = self.around(columns).float()
            return said
        both: Tensor = self.around(torch.cat((columns, read_backwards(columns)))).float()
        count = images.shape[0]
        return torch.cat((both[:count], both[count:]), 2)  # by `chunk`, an export would be of this batch alone

    def about(self, images: Tensor, centre: Tensor) -> Tensor:
        """Windows (N, C, S, S) on the polar grid about their centres (N, 2): (N, C, RADII, ANGLES)."""
        return on_polar_grid(images, self.polar_grid, centre)


class CircularConvolution(nn.Module):
    """A convolution of five columns around a circle: (N, C, ANGLES) -> the same length."""

    def __init__(self, inputs: int, outputs: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, 5, dilation=dilation, bias=False)
        self.reach = 2 * dilation

    def forward(self, columns: Tensor) -> Tensor:
        result: Tensor = self.convolution(wrapped(columns, self.reach))
        return result


def _around_the_circle(inputs: int, outputs: int, *, dilation: int = 1) -> list[nn.Module]:
    return [CircularConvolution(inputs, outputs, dilation=dilation), nn.BatchNorm1d(outputs), nn.ReLU()]
