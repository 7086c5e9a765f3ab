"""The two networks: proposals over a picture's grid, and the close look at a crop; residual convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tiae_ros.errors import ModelError
from tiae_ros.model.folder import CLOSE_UP, PROPOSALS
from tiae_ros.vision.detection import close_up, proposals


def _layer(given: int, made: int, stride: int = 1) -> nn.Sequential:
    # Batch normalisation is folded into the convolution on export.
    return nn.Sequential(nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _layer(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _stage(given: int, made: int, stride: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_layer(given, made, stride), *(_Residual(made) for _ in range(blocks)))


def _larger(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class ProposalNetwork(nn.Module):
    """Planes (N, 6, H, W) -> answers (N, 7, H/8, W/8); H and W multiples of 16."""

    def __init__(self, widths: Sequence[int] = (16, 28, 48, 96), blocks: Sequence[int] = (0, 1, 2, 2)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.halved = _stage(proposals.PLANES, a, 2, blocks[0])
        self.quartered = _stage(a, b, 2, blocks[1])
        self.blocks = _stage(b, c, 2, blocks[2])
        self.wide = _stage(c, d, 2, blocks[3])
        self.back = nn.Conv2d(d, c, 1)
        self.joined = _layer(c, c)
        self.answers = nn.Conv2d(c, proposals.ANSWERS, 1)
        nn.init.constant_(self.answers.bias, -3.0)  # type: ignore[arg-type]  # hands are rare

    def forward(self, planes: Tensor) -> Tensor:
        x = self.blocks(self.quartered(self.halved(planes)))
        return self.answers(self.joined(x + _larger(self.back(self.wide(x)))))


class CloseNetwork(nn.Module):
    """Planes (N, 5, 96, 96) -> class scores (N, 4, 96, 96) and facts (N, 6)."""

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128, 96),
        blocks: Sequence[int] = (0, 1, 2, 2, 2),
    ) -> None:
        """Widths and residual blocks of its stages; the last one tells the facts alone."""
        super().__init__()
        a, b, c, d, e = widths
        self.at_1 = _stage(close_up.PLANES, a, 1, blocks[0])
        self.at_2 = _stage(a, b, 2, blocks[1])
        self.at_4 = _stage(b, c, 2, blocks[2])
        self.at_8 = _stage(c, d, 2, blocks[3])
        self.to_quarter, self.at_quarter = nn.Conv2d(d, c, 1), _layer(c, c)
        self.to_half, self.at_half = nn.Conv2d(c, b, 1), _layer(b, b)
        self.to_full, self.at_full = nn.Conv2d(b, a, 1), _layer(a, a)
        self.classes = nn.Conv2d(a, close_up.CLASSES, 1)
        # Where in the crop something lies matters: 12 x 12 -> 3 x 3 before the sum.
        self.whole = _stage(d, e, 2, blocks[4])
        self.facts = nn.Linear(e * 9, close_up.FACTS)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        full = self.at_1(planes)
        half = self.at_2(full)
        quarter = self.at_4(half)
        eighth = self.at_8(quarter)
        facts = self.facts(functional.avg_pool2d(self.whole(eighth), 2).flatten(1))
        quarter = self.at_quarter(quarter + _larger(self.to_quarter(eighth)))
        half = self.at_half(half + _larger(self.to_half(quarter)))
        full = self.at_full(full + _larger(self.to_full(half)))
        return self.classes(full), facts


class Detector(nn.Module):
    """Both networks, with what builds them again."""

    def __init__(
        self,
        proposal_widths: Sequence[int] = (16, 28, 48, 96),
        proposal_blocks: Sequence[int] = (0, 1, 2, 2),
        close_widths: Sequence[int] = (16, 32, 64, 128, 96),
        close_blocks: Sequence[int] = (0, 1, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.parts = {
            "name": "two-looks",
            "proposal_widths": list(proposal_widths),
            "proposal_blocks": list(proposal_blocks),
            "close_widths": list(close_widths),
            "close_blocks": list(close_blocks),
        }
        self.proposals = ProposalNetwork(proposal_widths, proposal_blocks)
        self.close_up = CloseNetwork(close_widths, close_blocks)

    def graphs(self) -> dict[str, nn.Module]:
        """File name -> what is exported into it."""
        return {PROPOSALS: self.proposals, CLOSE_UP: self.close_up}


def new_detector(seed: int) -> Detector:
    """An untrained detector; the same seed gives the same weights."""
    torch.manual_seed(seed)
    return Detector()


_STAGES = {"proposal_widths": 4, "proposal_blocks": 4, "close_widths": 5, "close_blocks": 5}


def detector_of(parts: Mapping[str, Any]) -> Detector:
    """The untrained detector of a manifest. Raises ModelError."""
    given = dict(parts)
    if given.pop("name", None) != "two-looks":
        raise ModelError(
            f"network {parts.get('name')!r} is not known here; a hand detector is of two-looks (one of an earlier "
            "release cannot be used any more: train it again, or take the one that ships)"
        )
    for name, value in given.items():
        if name not in _STAGES:
            raise ModelError(f"network has an unknown part {name!r}")
        low, high = (1, 1024) if name.endswith("widths") else (0, 16)
        count = _STAGES[name]
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(type(n) is int and low <= n <= high for n in value)
        ):
            raise ModelError(
                f"network {name} is {value!r}; accepted are {count} whole numbers from {low} to {high} (a detector of "
                "an earlier release: train it again, or take the one that ships)"
            )
    return Detector(**given)
