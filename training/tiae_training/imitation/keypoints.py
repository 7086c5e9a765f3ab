"""A hand in detail -> 21 keypoints in space, and what they say in the hand's own frame.

Joint angles are hard to read off a picture: a turned camera changes it and leaves them. Where a knuckle is seen, is
easy: it turns and moves with the picture. So keypoints are found first, each as the mean place of a heat map
(soft-argmax; Sun et al., "Integral Human Pose Regression", 2018) with a depth of its own, and then brought into the
frame of the palm that they span: there a bent finger looks the same from everywhere.

Units: right and down in halves of a detail's side, away in halves of the depth's range, from the detail's middle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.vision.detail import CHANNELS
from tiae_training.networks.layers import ResidualBlock
from tiae_training.simulator.hand import KEYPOINTS

COUNT = len(KEYPOINTS)
DEEP = 64 * 4 * 4  # numbers of the coarsest maps
IN_PALM = 3 * COUNT + 3 * (COUNT - 1) + 1  # of `in_palm_frame`
_CELLS = 16  # of a heat map's side
_WIDTHS = (24, 48, 64, 128)  # of maps, of half the side each time
_WRIST, _KNUCKLES = 0, (5, 9, 13, 17)
_TIPS = (8, 12, 16, 20)
_PARENTS = [0 if number % 4 == 1 else number - 1 for number in range(1, COUNT)]
_FLAT_M = 0.012  # fingertips so far from the palm's plane tell its two sides apart


class KeypointNetwork(nn.Module):
    """(N, 3, 64, 64) -> keypoints (N, 21, 3), features (N, DEEP), and the heat maps' logits (N, 21, 256)."""

    places: Tensor
    reduced: torch.dtype | None = None  # what maps are computed in while this is trained; all else is float32

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = _WIDTHS
        self.at_half = nn.Sequential(*convolution(CHANNELS, one, 5, stride=2))
        self.from_half = nn.Sequential(*convolution(one, two, 3, stride=2))
        self.from_quarter = nn.Sequential(*convolution(two, three, 3, stride=2), ResidualBlock(three))
        self.from_eighth = nn.Sequential(*convolution(three, four, 3, stride=2), ResidualBlock(four))
        self.deep = nn.Sequential(*convolution(four, 64, 1), nn.Flatten())
        self.to_eighth = nn.Conv2d(four, three, 1)
        self.at_eighth = nn.Sequential(*convolution(three, 64, 3))
        self.to_quarter = nn.Conv2d(64, two, 1)
        self.at_quarter = nn.Sequential(*convolution(two, two, 3), nn.Conv2d(two, 2 * COUNT, 1))
        middles = (torch.arange(_CELLS) + 0.5) * 2 / _CELLS - 1
        down, right = torch.meshgrid(middles, middles, indexing="ij")
        self.register_buffer("places", torch.stack((right.flatten(), down.flatten()), 1))  # (256, 2)

    def forward(self, details: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.reduced is None:
            maps, last = self._maps(details)
        else:
            with torch.autocast(details.device.type, self.reduced):
                maps, last = (part.float() for part in self._maps(details))
        heat, away = maps.flatten(2).split(COUNT, 1)  # (N, 21, 256)
        share = heat.softmax(2)
        keypoints = torch.cat((share @ self.places, (share * away).sum(2, keepdim=True)), 2)
        return keypoints, self.deep(last), heat

    def _maps(self, details: Tensor) -> tuple[Tensor, Tensor]:
        """Two for each keypoint (N, 42, 16, 16), how likely it is there and how far away, and the coarsest ones."""
        quarter = self.from_half(self.at_half(details))
        eighth = self.from_quarter(quarter)
        last = self.from_eighth(eighth)
        wider = self.at_eighth(eighth + F.interpolate(self.to_eighth(last), scale_factor=2.0))
        return self.at_quarter(quarter + F.interpolate(self.to_quarter(wider), scale_factor=2.0)), last


def off_heat(heat: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """How unlikely heat maps (N, 21, 256) find the true places (N, 21, 3), nats (N, 21), and which lie in the maps.

    A place between four cells is shared by them. Without this a mean place is learnt from maps that are hot all over.
    """
    cells = (keypoints[..., :2].nan_to_num(9.0) + 1) * _CELLS / 2 - 0.5  # (N, 21, 2)
    within = ((cells > 0) & (cells < _CELLS - 1)).all(-1)
    first = cells.clamp(0, _CELLS - 1.001).floor()
    share = cells.clamp(0, _CELLS - 1.001) - first
    right, down = first.long().unbind(-1)
    log = heat.log_softmax(2)
    found = torch.zeros_like(share[..., 0])
    for dx in (0, 1):
        for dy in (0, 1):
            part = (share[..., 0] if dx else 1 - share[..., 0]) * (share[..., 1] if dy else 1 - share[..., 1])
            found = found - part * log.gather(2, ((down + dy) * _CELLS + right + dx)[..., None])[..., 0]
    return found, within


def in_palm_frame(keypoints: Tensor, units_m: Tensor) -> Tensor:
    """Keypoints (N, 21, 3) times `units_m` (3,) -> (N, IN_PALM): where they are and whereto bones point, by the palm.

    x to the knuckles, y to the thumb's side, z off the palm's plane to the side away from the fingertips: on a right
    hand and on its mirror image alike. The last number, -1..1, is above 0 for a right hand, and near it where the
    fingertips lie in the palm's plane, so that they do not tell.
    """
    places = keypoints * units_m
    wrist = places[:, _WRIST : _WRIST + 1]
    knuckles = torch.stack([places[:, number] for number in _KNUCKLES], 1)
    x = _unit(knuckles.mean(1) - wrist[:, 0])
    across = knuckles[:, 0] - knuckles[:, 3]
    y = _unit(across - x * (across * x).sum(1, keepdim=True))
    z = torch.stack(
        (
            x[:, 1] * y[:, 2] - x[:, 2] * y[:, 1],
            x[:, 2] * y[:, 0] - x[:, 0] * y[:, 2],
            x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0],
        ),
        1,
    )
    own = (places - wrist) @ torch.stack((x, y, z), 2)
    off_plane = torch.stack([own[:, number, 2] for number in _TIPS], 1).mean(1, keepdim=True)
    side = torch.tanh(-off_plane / _FLAT_M)
    own = torch.cat((own[..., :2], own[..., 2:] * side[:, None]), 2)
    bones = own[:, 1:] - torch.stack([own[:, number] for number in _PARENTS], 1)
    return torch.cat((own.flatten(1) * 10.0, _unit(bones).flatten(1), side), 1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / (vectors.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def convolution(channels: int, width: int, kernel: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    """With normalisation and activation."""
    own = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    return own, nn.BatchNorm2d(width), nn.SiLU()
