"""Several kinds at once: one that moves the pattern, then those that change what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tiae_ros.core.transforms.background import Background
from tiae_ros.core.transforms.blur import Blur
from tiae_ros.core.transforms.clutter import Clutter
from tiae_ros.core.transforms.gain import Gain
from tiae_ros.core.transforms.shift import Shift
from tiae_ros.core.transforms.similarity import Similarity
from tiae_ros.core.transforms.transform import Identity, Transform


@dataclass(frozen=True, eq=False)
class Composition(Transform):
    """The pattern is moved, laid over a background, cluttered, blurred and dimmed, in this order, as light does it.

    Only the movement has a minimum to be searched; of the rest the admissible transform is "none at all". So costs
    add: one search, and per kind one pass over the pixels. Parameters: the columns of all kinds side by side.
    """

    movement: Identity | Shift | Similarity
    background: Background | None = None
    clutter: Clutter | None = None
    blur: Blur | None = None
    gain: Gain | None = None

    changes_appearance = True

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        columns = [self.movement.draw(count, generator, torch.device("cpu")).to(torch.float32)]
        columns += [kind.draw(count, generator) for kind in self._appearances() if kind]
        return torch.cat(columns, 1).to(device)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        return self.movement.apply(images, self._movements(parameters))

    def view(self, images: Tensor, parameters: Tensor, masks: Tensor | None = None) -> Tensor:
        seen = self.apply(images, parameters)
        column = self._movements(parameters).shape[1]
        if self.background:
            covered = cover(images) if masks is None else masks
            covered = self.apply(covered, parameters)
            seen = self.background.apply(seen, parameters[:, column : column + 4], covered)
            column += 4
        if self.clutter:
            seen = self.clutter.apply(seen, parameters[:, column : column + 4])
            column += 4
        if self.blur:
            seen = self.blur.apply(seen, parameters[:, column : column + 1])
            column += 1
        if self.gain:
            seen = self.gain.apply(seen, parameters[:, column : column + 1])
        return seen

    def nearest(
        self, restored: Tensor, images: Tensor, targets: Tensor, estimate: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.movement.nearest(restored, images, targets, estimate)

    def nearest_whole(self, restored: Tensor, images: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self.movement.nearest_whole(restored, images, self._movements(parameters))

    def ranges(self) -> dict[str, dict[str, float]]:
        kinds = self.movement.ranges()
        for kind in self._appearances():
            if kind:
                kinds |= kind.ranges()
        return kinds

    def _appearances(self) -> tuple[Background | None, Clutter | None, Blur | None, Gain | None]:
        """What changes only what is seen, in the order of its parameters."""
        return self.background, self.clutter, self.blur, self.gain

    def _movements(self, parameters: Tensor) -> Tensor:
        if isinstance(self.movement, Similarity):
            return parameters[:, :4]
        return parameters[:, :2].long()


def cover(images: Tensor) -> Tensor:
    """How far patterns on black cover what is behind them when no mask says so: their value. -> (N, 1, S, S)"""
    return images.amax(1, keepdim=True)
