"""Rotation and scale, alone and together with shifts and backgrounds: the slides' open problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tiae_ros.model.autoencoder import Autoencoder
from tiae_training.baselines import fit_baseline
from tiae_training.data.arrays import ImageArrays
from tiae_training.pose_measures import drawn_view, measure_poses
from tiae_training.recipes.cut_off import masks
from tiae_training.recipes.foreground import (
    NOISE_SEED_OF_TEST,
    noise,
    photographs_to_test,
    photographs_to_train,
    with_pool,
)
from tiae_training.recipes.recipe import Recipe, Target, Workplace, at_least, at_most, draw_rows
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.transform import Transform

RADIUS = 6
SHOWN = 6  # windows in the picture, each twice
AFFNIST_SIDE = 40
BASELINES = ("centroid-pca", "moments-pca")
KEPT_OF_BASELINES = ("knn_accuracy", "dispersion_two_views", "restoration_error", "angle_error_deg", "turned_round")
SETTINGS: dict[str, Any] = {
    "shift_radius_px": RADIUS,
    "batch_size": 64,
    "contrastive_weight": 3.0,  # what else is undone leaves patterns more alike than shifts do
    "contrastive_temperature": 0.3,
    "regression_weight": 8.0,  # a degree is a tenth of a pixel at a pattern's outline
}
# A stroke shows at half its ink only where its edges are right below a pixel, which 30 numbers cannot say.
BEFORE_SOMETHING: dict[str, Any] = {
    **SETTINGS,
    "transforms": "shift,rotation,scale,background",
    "descriptor_size": 128,
    "deformation": 0.6,
    "invariance_weight": 0.2,
    "agreement_weight": 40.0,
    "contrastive_weight": 4.0,
    "contrastive_temperature": 0.1,
    "regression_weight": 4.0,
}

Windows = Callable[[Workplace], tuple[ImageArrays, ImageArrays]]
Pools = Callable[[ImageArrays, ImageArrays, int], tuple[Tensor, Tensor]]


def recipe(
    name: str,
    shows: str,
    epochs: int,
    settings: dict[str, Any],
    targets: tuple[Target, ...] = (),
    *,
    windows: Windows = Workplace.digits,
    pools: Pools | None = None,
    of_digits: bool = True,
) -> Recipe:
    """A recipe for kinds of transforms.

    windows: those to train on and to test on; pools: what stands behind them (M, C, H, W), of both.
    """

    def run(workplace: Workplace) -> dict[str, Any]:
        training, test = windows(workplace)
        behind: tuple[Tensor | None, Tensor | None] = (None, None)
        if pools is not None:
            behind = to_train, _ = pools(training, test, workplace.seed)
            training = with_pool(training, to_train)
        ranges = TrainingSettings(**settings).ranges()
        seen_under, transform = (build_transform(settings["transforms"], ranges, backgrounds=pool) for pool in behind)
        model = workplace.train("model", training, epochs=epochs, **settings)
        draw(workplace, name, model, transform, test)
        figures: dict[str, Any] = {
            "transforms": settings["transforms"],
            "windows": len(training),
            **measure_poses(model, transform, test, training, workplace.seed),
        }
        for other in BASELINES:
            numbers = min(30, len(training))
            fitted = fit_baseline(other, training, transform=seen_under, descriptor_size=numbers, seed=workplace.seed)
            measured = measure_poses(fitted, transform, test, training, workplace.seed)
            figures |= {f"{other.replace('-', '_')}_{m}": measured[m] for m in KEPT_OF_BASELINES if m in measured}
        return figures

    return Recipe(name, shows, run, targets, of_digits=of_digits)


def draw(workplace: Workplace, name: str, model: Autoencoder, transform: Transform, test: ImageArrays) -> None:
    """Each pattern under two transforms: what is seen, restored, and laid back on the input."""
    generator = torch.Generator().manual_seed(workplace.seed + 5)
    first = test.take(np.arange(SHOWN))
    views = torch.stack([drawn_view(transform, first, generator).seen for _ in range(2)], 1).flatten(0, 1)
    draw_rows(
        workplace.out / f"{name}.png",
        [("input", views), ("restored", model.restore(views)), ("… in its pose", model.place(views))],
        f"Each pattern under two transforms ({', '.join(transform.ranges())}): one restored picture, and its pose",
    )


def wider(workplace: Workplace) -> tuple[ImageArrays, ImageArrays]:
    """Digits in the middle of windows of `AFFNIST_SIDE`; a user's own windows as they are."""
    training, test = workplace.digits()
    if workplace.data is not None:
        return training, test
    return in_windows_of(AFFNIST_SIDE, training), in_windows_of(AFFNIST_SIDE, test)


def in_windows_of(side: int, arrays: ImageArrays) -> ImageArrays:
    """The same patterns with more black around them."""
    before = (side - arrays.images.shape[-1]) // 2
    after = side - arrays.images.shape[-1] - before
    return dataclasses.replace(arrays, images=np.pad(arrays.images, ((0, 0), (0, 0), (before, after), (before, after))))


def noises(training: ImageArrays, test: ImageArrays, seed: int) -> tuple[Tensor, Tensor]:
    """Noise to train and to test before."""
    return noise(seed, training), noise(NOISE_SEED_OF_TEST, test)


def photographs(training: ImageArrays, test: ImageArrays, seed: int) -> tuple[Tensor, Tensor]:
    """Photographs to train and others to test before."""
    return photographs_to_train(training, seed), photographs_to_test(test)


ON_BLACK = {**SETTINGS, "transforms": "shift,rotation,scale", "upright_fraction": 0.8}
ROTATION = recipe("rotation", f"any angle, shifts of ±{RADIUS} px", 16, {**SETTINGS, "transforms": "shift,rotation"})
SCALE = recipe(
    "scale", f"scales from 1/1.4 to 1.4, shifts of ±{RADIUS} px", 16, {**SETTINGS, "transforms": "shift,scale"}
)
POSE = recipe(
    "shift-rotation-scale",
    "any angle, scale and shift, on black",
    36,
    ON_BLACK,
    (
        at_least("knn_accuracy", 0.95),
        at_most("angle_error_deg", 3.0),
        at_most("turned_round", 0.05),
        at_most("scale_error", 0.03),
        at_most("restoration_error", 0.15),
    ),
)
AFFNIST = recipe(
    "affnist-like",
    f"as affNIST: ±20°, scales from 1/1.25 to 1.25, shifts of ±{RADIUS} px, windows of {AFFNIST_SIDE}×{AFFNIST_SIDE}",
    24,
    {**ON_BLACK, "rotation_deg": 20.0, "scale_factor": 1.25},
    (at_least("knn_accuracy", 0.98), at_most("restoration_error", 0.15)),
    windows=wider,
)
ALL = recipe(
    "shift-rotation-scale-background",
    "four kinds of transforms at once, before noise",
    72,
    BEFORE_SOMETHING,
    (
        at_least("knn_accuracy", 0.88),
        at_most("angle_error_deg", 3.0),
        at_most("turned_round", 0.05),
        at_most("scale_error", 0.03),
        at_least("iou", 0.80),
    ),
    pools=noises,
)
PHOTOGRAPHS = recipe(
    "shift-rotation-scale-photographs",
    "four kinds of transforms at once, before photographs",
    28,
    BEFORE_SOMETHING,
    (at_least("knn_accuracy", 0.80), at_most("angle_error_deg", 6.0)),
    pools=photographs,
)
TURNED_GRASPS = recipe(
    "turned-grasps",
    f"grasps as two masks before a camera that is turned, any angle, shifts of ±{RADIUS} px",
    16,
    {**SETTINGS, "transforms": "shift,rotation", "descriptor_size": 64},
    windows=masks,
    of_digits=False,
)
