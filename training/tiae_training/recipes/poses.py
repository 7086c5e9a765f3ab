"""Rotation and scale, alone and together with shifts and backgrounds: the slides' open problems."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.model.autoencoder import Autoencoder
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.backgrounds import background_pool
from tiae_training.data.digits import DIGIT_NAMES
from tiae_training.measures import knn_accuracy
from tiae_training.recipes.recipe import Recipe, Target, Workplace, at_least, at_most, draw_rows
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.composition import Composition
from tiae_training.transforms.poses import bring_back, wrap_angle
from tiae_training.transforms.similarity import Similarity
from tiae_training.transforms.transform import Transform

RADIUS = 6
SHOWN = 6  # digits in the picture, each twice
EPOCHS = 16
BATCH_SIZE = 64  # twice the steps of the default: poses settle by steps
SYMMETRIC = (0, 1, 8)  # digits that look much alike after half a turn: their angle has two answers


_ROWS_AT_ONCE = 512


class Posed(Protocol):
    """The doors that these measures use: those of an `Autoencoder`, and of what it is held against."""

    def encode(self, images: Any) -> Any: ...

    def restore(self, images: Any) -> Any: ...

    def estimate_parameters(self, images: Any) -> Any: ...


def measure_poses(
    model: Posed, transform: Transform, test: ImageArrays, gallery: ImageArrays, seed: int
) -> dict[str, Any]:
    """Measures under random poses, two views of each test window; errors are of the difference between views.

    angle_error_deg and scale_error are medians of absolute errors (a constant per pattern is free); the angle also
    without the digits that are symmetric, and for each label by itself. turned_round is the share of windows whose
    angle is wrong by more than 90°. restoration_error is `posed_restoration_error`, of the first view.
    """
    generator = torch.Generator().manual_seed(seed + 11)
    one, other = (drawn_views(transform, test, generator) for _ in range(2))
    descriptors = torch.stack([torch.as_tensor(model.encode(view)) for view, _ in (one, other)])  # (2, N, K)
    within, total = descriptors.var(0, unbiased=False).sum(1).mean(), descriptors.flatten(0, 1).var(0).sum()
    poses, other_poses = (torch.as_tensor(model.estimate_parameters(view)) for view, _ in (one, other))
    estimated = poses - other_poses
    compared = compared_poses(model, transform, one[0]) - compared_poses(model, transform, other[0])
    true = one[1] - other[1]
    angle = torch.rad2deg(wrap_angle(estimated[:, 2] - true[:, 2]).abs())
    angle_compared = torch.rad2deg(wrap_angle(compared[:, 2] - true[:, 2]).abs())
    measures: dict[str, Any] = {
        "dispersion_two_views": float(within / total),
        "angle_error_deg": float(angle.median()),
        "angle_error_compared_deg": float(angle_compared.median()),
        "turned_round": float((angle > 90.0).float().mean()),
        "scale_error": float(torch.expm1((estimated[:, 3] - true[:, 3]).abs()).median()),
        "scale_error_compared": float(torch.expm1((compared[:, 3] - true[:, 3]).abs()).median()),
        "restoration_error": posed_restoration_error(
            torch.as_tensor(model.restore(one[0])), one[0], movement_of(transform), poses
        ),
    }
    if test.labels is not None and gallery.labels is not None:
        measures["angle_error_by_label_deg"] = {
            test.label_names[label]: round(float(angle[test.labels == label].median()), 2)
            for label in np.unique(test.labels)
            if test.label_names
        }
        if test.label_names == DIGIT_NAMES:
            clear = torch.from_numpy(~np.isin(test.labels, SYMMETRIC))
            measures["angle_error_unsymmetric_deg"] = float(angle[clear].median())
        shown, _ = drawn_views(transform, gallery, generator)
        known = np.asarray(model.encode(shown))
        measures["knn_accuracy"] = knn_accuracy(known, gallery.labels, descriptors[0].numpy(), test.labels)
    return measures


def drawn_views(transform: Transform, arrays: ImageArrays, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows under random transforms (N, C, S, S) and their poses (N, 4)."""
    images = torch.from_numpy(arrays.images)
    drawn = transform.draw(len(images), generator)
    return transform.apply(images, drawn), drawn[:, :4]


def compared_poses(model: Posed, transform: Transform, windows: Tensor) -> Tensor:
    """Poses (N, 4) found by comparing input and restored pattern, without the anchor that training pulls scales by."""
    search, restored = movement_of(transform), torch.as_tensor(model.restore(windows))
    poses = search.best(restored, windows, torch.as_tensor(model.estimate_parameters(windows)))
    return search.refine(restored, windows, poses)


def movement_of(transform: Transform) -> Similarity:
    """The kind that moves the pattern, to search with: without the anchor of training."""
    movement = transform.movement if isinstance(transform, Composition) else transform
    assert isinstance(movement, Similarity)
    return replace(movement, anchor=0.0)


def posed_restoration_error(
    restored: Tensor, targets: Tensor, search: Similarity, estimated: Tensor | None = None
) -> float:
    """Mean over windows of min over poses of ‖D(E(I)) − T_θ I‖² / ‖I‖²; blank windows are left out.

    `restoration_error` with angle and scale: on a canvas on which nothing leaves the window, and on the input's own
    scale, so that no pattern gets cheaper by being restored smaller. The minimum is the lowest of what the search finds
    from the estimated poses (N, 4) and from none, refined, and of the estimates themselves.
    """
    lowest = []
    for rows in torch.arange(len(targets)).split(_ROWS_AT_ONCE):
        patterns, seen = restored[rows], targets[rows]
        starts = [None] if estimated is None else [None, estimated[rows]]
        tried = [search.refine(patterns, seen, search.best(patterns, seen, start)) for start in starts]
        tried += [start for start in starts if start is not None]
        lowest.append(torch.stack([_pose_costs(patterns, seen, poses) for poses in tried]).amin(0))
    energy = targets.square().sum((1, 2, 3))
    return float((torch.cat(lowest)[energy > 0] / energy[energy > 0]).mean())


def _pose_costs(restored: Tensor, targets: Tensor, poses: Tensor) -> Tensor:
    """‖R − T_pose⁻¹ I‖² times scale², on a canvas of twice the window's side: (N, C, S, S) twice, (N, 4) -> (N,)."""
    around = (restored.shape[-1] // 2,) * 4
    difference = F.pad(restored, around) - bring_back(F.pad(targets, around), poses)
    return difference.square().sum((1, 2, 3)) * torch.exp(2.0 * poses[:, 3])


def recipe(name: str, shows: str, transforms: str, epochs: int, targets: tuple[Target, ...] = ()) -> Recipe:
    """A recipe for a list of kinds."""

    def run(workplace: Workplace) -> dict[str, Any]:
        training, test = workplace.digits()
        ranges: dict[str, Any] = {"transforms": transforms, "shift_radius_px": RADIUS, "batch_size": BATCH_SIZE}
        model = workplace.train("model", training, epochs=epochs, **ranges)
        settings = TrainingSettings(**ranges, seed=workplace.seed + 1)
        pool = background_pool(test, settings.transforms, settings.seed)
        transform = build_transform(settings.transforms, settings.ranges(), backgrounds=pool)
        draw(workplace, name, model, transform, test)
        return {
            "transforms": transforms,
            "windows": len(training),
            **measure_poses(model, transform, test, training, workplace.seed),
        }

    return Recipe(name, shows, run, targets)


def draw(workplace: Workplace, name: str, model: Autoencoder, transform: Transform, test: ImageArrays) -> None:
    """Each digit under two transforms: what is seen, restored, and laid back on the input."""
    generator = torch.Generator().manual_seed(workplace.seed + 5)
    first = test.take(np.arange(SHOWN))
    views = torch.stack([drawn_views(transform, first, generator)[0] for _ in range(2)], 1).flatten(0, 1)
    draw_rows(
        workplace.out / f"{name}.png",
        [("input", views), ("restored", model.restore(views)), ("… in its pose", model.place(views))],
        f"Each digit under two transforms ({', '.join(transform.ranges())}): one restored picture, and its pose",
    )


ROTATION = recipe("rotation", f"any angle, shifts of ±{RADIUS} px", "shift,rotation", EPOCHS)
SCALE = recipe("scale", f"scales from 1/1.4 to 1.4, shifts of ±{RADIUS} px", "shift,scale", EPOCHS)
ALL = recipe(
    "shift-rotation-scale-background", "four kinds of transforms at once", "shift,rotation,scale,background", EPOCHS
)
POSE = recipe(
    "shift-rotation-scale",
    "any angle, scale and shift, on black",
    "shift,rotation,scale",
    EPOCHS,
    (
        at_least("knn_accuracy", 0.90),
        at_most("angle_error_deg", 6.0),
        at_most("angle_error_compared_deg", 6.0),
        at_most("scale_error", 0.05),
        at_most("scale_error_compared", 0.05),
    ),
)
