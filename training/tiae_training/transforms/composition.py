"""Several kinds at once: one that moves the pattern, then those that change what is seen of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tiae_training.transforms.background import Background, own_cover
from tiae_training.transforms.transform import Transform


@dataclass(frozen=True, eq=False)
class Composition(Transform):
    """Kinds in the order in which light meets them: the pattern is moved, laid over a background, cluttered, blurred.

    Only the movement has a minimum to be searched; of the rest the admissible transform is "not at all". So costs
    add: one search, and per kind one pass over the pixels. Parameters: the columns of all kinds side by side.
    """

    kinds: tuple[Transform, ...]

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(column for kind in self.kinds for column in kind.columns)

    @property
    def changes_appearance(self) -> bool:
        return any(kind.changes_appearance for kind in self.kinds)

    @property
    def movement(self) -> Transform:
        """The kind that moves the pattern."""
        return next(kind for kind in self.kinds if kind.moves)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.cat([kind.draw(count, generator) for kind in self.kinds], 1)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        if cover is None and any(isinstance(kind, Background) for kind in self.kinds):
            cover = own_cover(images)
        for kind, own in self._with_own(parameters):
            images = kind.apply(images, own, cover)
            if kind.moves and cover is not None:
                cover = kind.apply(cover, own)
        return images

    def move(self, images: Tensor, parameters: Tensor) -> Tensor:
        for kind, own in self._with_own(parameters):
            images = kind.move(images, own)
        return images

    def invert(self, images: Tensor, parameters: Tensor) -> Tensor:
        return self.movement.invert(images, parameters)

    def best(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> Tensor:
        return self.movement.best(restored, targets, estimate)

    def whole(self, images: Tensor, parameters: Tensor) -> Tensor:
        own = next(own for kind, own in self._with_own(parameters) if kind.moves)
        return self.movement.whole(images, own)

    def nearest_whole(
        self, restored: Tensor, whole: Tensor, drawn: Tensor, estimate: Tensor, trust: float, *, upright: bool = True
    ) -> tuple[Tensor, Tensor]:
        own = next(own for kind, own in self._with_own(drawn) if kind.moves)
        return self.movement.nearest_whole(restored, whole, own, estimate, trust, upright=upright)

    def onto_view(self, parameters: Tensor, found: Tensor) -> Tensor:
        own = next(own for kind, own in self._with_own(parameters) if kind.moves)
        return self.movement.onto_view(own, found)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {name: of for kind in self.kinds for name, of in kind.ranges().items()}

    def _with_own(self, parameters: Tensor) -> Iterator[tuple[Transform, Tensor]]:
        """Each kind with its columns of the parameters."""
        return zip(self.kinds, parameters.split([len(kind.columns) for kind in self.kinds], 1), strict=True)
