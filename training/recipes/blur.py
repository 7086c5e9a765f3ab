"""Digits out of focus, anywhere in the window: the descriptor is to be that of the sharp digit, and its picture too."""

from __future__ import annotations

from typing import Any

import torch

from tiae_ros.core.transforms import build_transform
from tiae_training.baselines import fit_baseline
from tiae_training.measures import ShiftedViews, measure_views
from tiae_training.recipes.recipe import Recipe, Workplace, draw_rows

RADIUS = 6
EPOCHS = 30
SHOWN = 6  # digits in the picture, each twice
_KEPT = ("dispersion", "knn_accuracy", "restoration_error", "shift_error")


def run(workplace: Workplace) -> dict[str, Any]:
    """The auto-encoder and principal components after centring, on digits blurred by 0 to 1.5 pixels."""
    training, test = workplace.digits()
    model = workplace.train("model", training, epochs=EPOCHS, transforms="shift,blur", shift_radius_px=RADIUS)
    baseline = fit_baseline("centroid-pca", training, radius_px=RADIUS, seed=workplace.seed)
    views = ShiftedViews.through(build_transform("shift,blur", shift_radius_px=RADIUS), test, workplace.seed + 31)
    measured = {
        name: measure_views(described, views, test, training, gallery_radius_px=RADIUS, seed=workplace.seed)  # type: ignore[arg-type]
        for name, described in (("", model), ("centroid_pca_", baseline))
    }
    shown, true = (v[:2, :SHOWN].transpose(0, 1).flatten(0, 1) for v in (views.images, views.targets))
    draw_rows(
        workplace.out / "blur.png",
        [
            ("input", shown),
            ("restored", model.restore(shown).cpu()),
            ("… moved by its shift", model.place(shown).cpu()),
            ("sharp pattern", true),
        ],
        "Each digit at two places, more and less out of focus",
    )
    seen, sharp = views.images[0], views.targets[0]
    baseline_measures = measured["centroid_pca_"]
    return {
        "windows": len(training),
        **measured[""],
        "sharpness": sharpness(model.restore(seen).cpu(), sharp),
        "sharpness_of_input": sharpness(seen, sharp),
        **{f"centroid_pca_{name}": baseline_measures[name] for name in _KEPT if name in baseline_measures},
    }


def sharpness(pictures: torch.Tensor, sharp: torch.Tensor) -> float:
    """Energy of the differences between neighbouring pixels, as a share of that of the sharp patterns."""
    return float(_edges(pictures) / _edges(sharp))


def _edges(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.diff(dim=2).square().sum() + pictures.diff(dim=3).square().sum()


BLUR = Recipe("blur", f"out of focus by up to 1.5 px, shifts of ±{RADIUS} px: the sharp pattern is restored", run)
