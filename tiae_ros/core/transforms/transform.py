"""What every kind of transform offers, and the kind that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class Transform:
    """One kind of transform T_θ of windows (N, C, S, S) with parameters θ (N, P), or several kinds composed.

    A kind either moves the pattern (shift, rotation, scale: `apply` does it, `nearest` finds the best one) or
    changes what is seen of it (background, blur, gain: `view` does it, the restored pattern is to be without).
    """

    changes_appearance = False  # whether `view` differs from `apply`

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Random parameters, (count, P)."""
        raise NotImplementedError

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """T_θ as far as it moves the pattern, every image by its own parameter: what restoration is held against."""
        raise NotImplementedError

    def view(self, images: Tensor, parameters: Tensor, masks: Tensor | None = None) -> Tensor:
        """T_θ in full: what the encoder is shown. masks (N, 1, S, S): 1 where the pattern covers its background."""
        return self.apply(images, parameters)

    def nearest(
        self, restored: Tensor, images: Tensor, targets: Tensor, estimate: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """min over θ: the transformed targets nearest to the restored patterns, and the parameters found.

        What is found moves the restored pattern onto the target: shifts (N, 2) or poses (N, 4), as in
        `tiae_ros.core.shifts` and `tiae_ros.core.poses`. images are what the encoder saw; targets the same
        windows as they ought to be restored. estimate: the regressor's, (N, 2) or (N, 4), where a search begins.
        """
        raise NotImplementedError

    def nearest_whole(self, restored: Tensor, images: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """As `nearest`, but among the transformed whole images, which the encoder saw under `parameters`.

        The window's edge may have cut off what the encoder saw; here nothing of the pattern is missing.
        """
        raise NotImplementedError

    def ranges(self) -> dict[str, dict[str, float]]:
        """What a manifest says of it: kind -> its range."""
        raise NotImplementedError


@dataclass(frozen=True)
class Identity(Transform):
    """Θ = {identity}: with it the objective is an ordinary auto-encoder's."""

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        return torch.zeros(count, 2, dtype=torch.long, device=device)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images

    def nearest(
        self, restored: Tensor, images: Tensor, targets: Tensor, estimate: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return targets, torch.zeros(len(images), 2, dtype=torch.long, device=images.device)

    def nearest_whole(self, restored: Tensor, images: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self.nearest(restored, images, images)

    def ranges(self) -> dict[str, dict[str, float]]:
        return {}
