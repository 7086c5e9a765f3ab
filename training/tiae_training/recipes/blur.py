"""Digits out of focus, anywhere in the window: the descriptor is to be that of the sharp digit, and its picture too."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tiae_training.baselines import fit_baseline
from tiae_training.data.arrays import ImageArrays
from tiae_training.measures import VIEWS, Views, measure_views
from tiae_training.recipes.recipe import Recipe, Workplace, draw_rows, side_by_side
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.ranges import Ranges

RADIUS = 6
EPOCHS = 30
SHOWN = 6  # digits in the picture, each twice
_KEPT = ("dispersion", "knn_accuracy", "restoration_error", "shift_error")


def run(workplace: Workplace) -> dict[str, Any]:
    """The auto-encoder and principal components after centring, on digits blurred by 0 to 1.5 pixels."""
    training, test = workplace.digits()
    model = workplace.train("model", training, epochs=EPOCHS, transforms="shift,blur", shift_radius_px=RADIUS)
    baseline = fit_baseline("centroid-pca", training, radius_px=RADIUS, seed=workplace.seed)
    views = blurred_views(test, workplace.seed + 31)
    measured = {
        name: measure_views(described, views, test, training, gallery_radius_px=RADIUS, seed=workplace.seed)
        for name, described in (("", model), ("centroid_pca_", baseline))
    }
    shown, true = (side_by_side(v[:2, :SHOWN]) for v in (views.images, views.targets))
    draw_rows(
        workplace.out / "blur.png",
        [
            ("input", shown),
            ("restored", model.restore(shown)),
            ("… moved by its shift", model.place(shown)),
            ("sharp pattern", true),
        ],
        "Each digit at two places, more and less out of focus",
    )
    seen, sharp = views.images[0], views.targets[0]
    baseline_measures = measured["centroid_pca_"]
    return {
        "windows": len(training),
        **measured[""],
        "sharpness": sharpness(model.restore(seen), sharp),
        "sharpness_of_input": sharpness(seen, sharp),
        **{f"centroid_pca_{name}": baseline_measures[name] for name in _KEPT if name in baseline_measures},
    }


def blurred_views(arrays: ImageArrays, seed: int) -> Views:
    """The images moved and out of focus, targets only moved."""
    transform = build_transform("shift,blur", Ranges(shift_radius_px=RADIUS))
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(arrays.images)
    drawn = [transform.draw(len(arrays), generator) for _ in range(VIEWS)]
    return Views(
        torch.stack([transform.apply(images, parameters) for parameters in drawn]).numpy(),
        torch.stack([transform.move(images, parameters) for parameters in drawn]).numpy(),
        torch.stack([parameters[:, :2] for parameters in drawn]).numpy(),
    )


def sharpness(pictures: np.ndarray, sharp: np.ndarray) -> float:
    """Energy of the differences between neighbouring pixels, as a share of that of the sharp patterns."""
    return float(_edges(pictures) / _edges(sharp))


def _edges(pictures: np.ndarray) -> float:
    return float(np.square(np.diff(pictures, axis=2)).sum() + np.square(np.diff(pictures, axis=3)).sum())


BLUR = Recipe("blur", f"out of focus by up to 1.5 px, shifts of ±{RADIUS} px: the sharp pattern is restored", run)
