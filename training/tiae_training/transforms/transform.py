"""What every kind of transform offers, and the kind that changes nothing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor


class Transform:
    """One kind of transform T_θ of windows (N, C, S, S) with parameters θ (N, P), or several kinds composed.

    A kind either moves the pattern, or changes what is seen of it: then the restored pattern is to be without it, and
    the one admissible parameter of the restoration term is "not at all".

    Attributes:
        columns: names of the parameters, in order.
        moves: whether it moves the pattern.
    """

    columns: tuple[str, ...] = ()
    moves: ClassVar[bool] = True

    @property
    def movement(self) -> Transform:
        """The kind that moves the pattern, of a composition; of a single kind itself."""
        return self

    @property
    def changes_appearance(self) -> bool:
        """Whether it shows more than a moved pattern."""
        return not self.moves

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random parameters, (count, P) float32 on the CPU, so that a seed means the same everywhere."""
        raise NotImplementedError

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        """T_θ: every image by its own parameter. cover (N, 1, S, S): how much of each pixel the pattern hides."""
        raise NotImplementedError

    def move(self, images: Tensor, parameters: Tensor) -> Tensor:
        """T_θ as far as it moves the pattern: what restoration is held against."""
        return self.apply(images, parameters) if self.moves else images

    def invert(self, images: Tensor, parameters: Tensor) -> Tensor:
        """T_θ⁻¹ of what `best` found: the target brought back to where the restored pattern stands."""
        raise NotImplementedError

    def best(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> Tensor:
        """min over θ: the parameters that move each restored pattern onto its target.

        Shifts (N, 2), these and the roll (N, 3), or poses (N, 4 or 5), as `tiae_training.transforms.shifts` and
        `tiae_training.transforms.poses` have them.
        estimate: the regressor's, of as many numbers or shifts alone, where a search begins.
        """
        raise NotImplementedError

    def nearest(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The transformed targets nearest to the restored patterns (N, C, S, S), and the parameters found."""
        found = self.best(restored, targets, estimate)
        return self.invert(targets, found), found

    def whole(self, images: Tensor, parameters: Tensor) -> Tensor:
        """What is to be restored of whole windows: as they are, or turned, where what is restored follows that."""
        return images

    def nearest_whole(
        self, restored: Tensor, whole: Tensor, drawn: Tensor, estimate: Tensor, trust: float, *, upright: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The transformed whole windows nearest to what was restored from views of them, and parameters on the views.

        drawn: the transforms of the views (N, P); estimate: the regressor's of the views, (N, 2, 4 or 5); trust: from 0
        to 1, how much it counts against the pose that the whole window shows, for kinds that take the pattern's own
        pose from there; upright: whether windows show that pose at all.
        """
        nearest, found = self.nearest(restored, whole)
        return nearest, self.onto_view(drawn, found)

    def onto_view(self, parameters: Tensor, found: Tensor) -> Tensor:
        """What moves the pattern onto the view that the encoder saw, where `found` moves it onto the whole image."""
        return found

    def ranges(self) -> dict[str, dict[str, float]]:
        """What a manifest says of it: kind -> its range."""
        raise NotImplementedError


class Identity(Transform):
    """Θ = {identity}: with it the objective is an ordinary auto-encoder's."""

    columns = ("dx", "dy")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(count, 2)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        return images

    def invert(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images

    def best(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> Tensor:
        return torch.zeros(len(targets), 2, device=targets.device)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {}
