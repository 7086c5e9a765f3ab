"""The network that finds hands in a frame: a U-Net whose finest level is half the grid."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.errors import ModelError
from tiae_ros.vision.segmentation.planes import INPUTS

CLASSES = 3
NAME = "u-net"
WIDTHS = (12, 32, 64, 128)  # channels at 1/2, 1/4, 1/8 and 1/16 of the grid
BLOCKS = (1, 1, 2, 3)  # convolutions at each of these after the one that halves


class SegmentationNetwork(nn.Module):
    """(B, 9, H, W) -> class scores (B, 3, H, W); H, W multiples of 16."""

    def __init__(self, widths: Sequence[int] = WIDTHS, blocks: Sequence[int] = BLOCKS) -> None:
        super().__init__()
        self.widths, self.blocks = tuple(widths), tuple(blocks)
        for name, values, low, high in (("widths", self.widths, 1, 512), ("blocks", self.blocks, 0, 8)):
            if len(values) != 4 or not all(type(v) is int and low <= v <= high for v in values):
                raise ModelError(f"{name} are {values}; accepted are four whole numbers from {low} to {high}")
        self.down = nn.ModuleList()
        inputs = INPUTS
        for width, block in zip(self.widths, self.blocks, strict=True):
            rest = [_convolution(width, width) for _ in range(block)]
            self.down.append(nn.Sequential(_convolution(inputs, width, stride=2), *rest))
            inputs = width
        self.across = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in itertools.pairwise(self.widths))
        self.up = nn.ModuleList(_convolution(width, width) for width in self.widths[:-1])
        self.head = nn.Conv2d(self.widths[0], CLASSES * 4, 3, padding=1)

    @property
    def parts(self) -> dict[str, Any]:
        """For a manifest; `segmentation_network` builds it again."""
        return {"name": NAME, "widths": list(self.widths), "blocks": list(self.blocks)}

    def forward(self, planes: Tensor) -> Tensor:
        levels = []
        x = planes
        for down in self.down:
            x = down(x)  # halves H and W
            levels.append(x)
        for level in (2, 1, 0):
            coarse = F.interpolate(self.across[level](x), scale_factor=2.0, mode="nearest")
            x = self.up[level](levels[level] + coarse)
        return F.pixel_shuffle(self.head(x), 2)  # scores of each cell's four quarters -> of cells


def segmentation_network(parts: Mapping[str, Any]) -> SegmentationNetwork:
    """A fresh network of a manifest's parts. Raises ModelError."""
    if set(parts) != {"name", "widths", "blocks"} or parts["name"] != NAME:
        raise ModelError(f"network is {dict(parts)}; accepted is {NAME} with widths and blocks")
    for name in ("widths", "blocks"):
        if not isinstance(parts[name], list):
            raise ModelError(f"network {name} is {parts[name]!r}; accepted are four whole numbers")
    return SegmentationNetwork(parts["widths"], parts["blocks"])


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3, normalised, ReLU: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
