"""The measures every table of this project uses, by their fixed names.

dispersion         mean over images of the descriptor's variance over 8 random shifts / its total variance; 0 is best
knn_accuracy       5-nearest-neighbour class accuracy; neighbours are labelled training images, each randomly shifted
nmi, ari           k-means (k = number of classes) on the descriptors of test images against the classes
restoration_error  min over shifts of ‖D(E(I)) − T_θ I‖² / ‖I‖², mean; what leaves the window counts as error; of models
                   that find poses, after turning and scaling by the pose they find
shift_error        mean |(ŝ₁ − ŝ₂) − (p₁ − p₂)| per axis for two random shifts p of one image, pixels
shift_error_compared  the same with the shift found by comparing instead of by the regressor
hand_iou, object_iou, depth_error_mm  of channels named as the node's: `tiae_training.hand_measures`

Nothing here needs torch: shifts are drawn as torch draws them, so that a seed means the same everywhere.
Dispersion alone can be gamed by a model that restores one blob: it is never given without the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError
from tiae_ros.model.shifts import Floats, draw_shifts, shift_costs, shift_images
from tiae_ros.vision.window import DEFAULT_RANGE_M
from tiae_training.clusters import adjusted_rand, k_means, normalized_mutual_information
from tiae_training.data.arrays import ImageArrays
from tiae_training.hand_measures import hand_measures

VIEWS = 8  # random shifts per image
NEIGHBOURS = 5
_ROWS_AT_ONCE = 512

Encode = Callable[[Floats], Floats]
Whole = NDArray[np.int64]


class Measured(Protocol):
    """The doors that measures use: those of `tiae_ros.model.autoencoder.Autoencoder`, and of its rivals."""

    def encode(self, images: Any) -> Any: ...

    def restore(self, images: Any) -> Any: ...

    def place(self, images: Any) -> Any: ...

    def estimate_shift(self, images: Any, *, compare: bool = False) -> Any: ...


@dataclass(frozen=True)
class Views:
    """Every image several times: images, targets (V, N, C, H, W); shifts (V, N, 2)."""

    images: Floats
    targets: Floats
    shifts: NDArray[Any]


def shifted_views(arrays: ImageArrays, radius_px: int, seed: int, views: int = VIEWS) -> Views:
    """Every image under random shifts of a seed; radius 0 leaves the images where they are."""
    rng = np.random.RandomState(seed)
    shifts = [draw_shifts(len(arrays), radius_px, rng) for _ in range(views)]
    images = np.stack([shift_images(arrays.images, s) for s in shifts])
    same = arrays.targets is arrays.images  # then they are not held twice
    targets = images if same else np.stack([shift_images(arrays.targets, s) for s in shifts])
    return Views(images, targets, np.stack(shifts))


def measure_model(
    model: Any,
    test: ImageArrays,
    gallery: ImageArrays | None = None,
    *,
    shift_radius_px: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """All measures of a model on held-out data; those that need labels only when there are some.

    gallery: labelled training images for knn_accuracy. shift_radius_px: that of the test's random shifts; by
    default the model's own, or 8 for an ordinary auto-encoder. Channels are taken by name, as the model has them.
    Raises DataError when shapes or channels do not fit.
    """
    manifest = getattr(model, "manifest", None)  # what a model is compared with has none
    if manifest is not None:
        test = test.in_order(manifest.channels)
        gallery = None if gallery is None else gallery.in_order(manifest.channels)
    radius = shift_radius_px if shift_radius_px is not None else (model.manifest.shift_radius or 8)
    views = shifted_views(test, radius, seed)
    measures = measure_views(model, views, test, gallery, gallery_radius_px=radius, seed=seed)
    range_m = float(manifest.preprocessing.get("range_m", DEFAULT_RANGE_M)) if manifest else DEFAULT_RANGE_M
    return measures | hand_measures(model.place, views.images, views.targets, test.channels, range_m)


def measure_views(
    model: Measured,
    views: Views,
    test: ImageArrays,
    gallery: ImageArrays | None = None,
    *,
    gallery_radius_px: int = 0,
    seed: int = 0,
) -> dict[str, float]:
    """`measure_model` on given views of the test images, which may also be cluttered or otherwise changed.

    gallery_radius_px: that of the random shifts of the gallery, 0 when it is given as it is to be seen.
    """
    descriptors = np.stack([model.encode(v) for v in views.images])  # (V, N, K)
    measures = {"dispersion": dispersion(descriptors)}
    measures |= class_measures(model.encode, descriptors[0], test, gallery, gallery_radius_px, seed)
    # of poses, angle and scale as the encoder finds them; the nearest shift is found here
    show = getattr(model, "restore_in_pose", model.restore)  # what a model is compared with has none
    measures["restoration_error"] = float(
        np.mean([restoration_error(show(v), t) for v, t in zip(views.images, views.targets, strict=True)])
    )
    for name, compare in (("shift_error", False), ("shift_error_compared", True)):
        one, other = (model.estimate_shift(views.images[i], compare=compare) for i in (0, 1))
        measures[name] = shift_error(one - other, views.shifts[0] - views.shifts[1])
    return measures


def dispersion(descriptors: Floats) -> float:
    """(V views, N images, K) -> mean variance over views / total variance over all; infinite when all are equal."""
    within = descriptors.var(0).sum(1).mean()
    total = descriptors.reshape(-1, descriptors.shape[-1]).var(0).sum()
    return float(within / total) if total > 0 else float("inf")


def restoration_error(restored: Floats, targets: Floats) -> float:
    """Mean over images of min over all whole shifts of ‖D(E(I)) − T_θ I‖² / ‖I‖²; blank images are left out."""
    energy = np.square(targets).sum((1, 2, 3))
    lowest = np.concatenate(
        [
            shift_costs(restored[rows], targets[rows], targets.shape[-1] // 2).min((1, 2))
            for rows in np.split(np.arange(len(targets)), range(_ROWS_AT_ONCE, len(targets), _ROWS_AT_ONCE))
        ]
    )
    return float((lowest[energy > 0] / energy[energy > 0]).mean())


def shift_error(estimated: Floats, true: NDArray[Any]) -> float:
    """Mean absolute difference per axis, pixels: (N, 2) twice."""
    return float(np.abs(estimated - true).mean())


def class_measures(
    encode: Encode,
    test_descriptors: Floats,
    test: ImageArrays,
    gallery: ImageArrays | None,
    radius_px: int,
    seed: int,
) -> dict[str, float]:
    """knn_accuracy, nmi and ari, as far as labels allow."""
    if test.labels is None:
        return {}
    measures = {}
    if gallery is not None and gallery.labels is not None:
        if len(gallery) < NEIGHBOURS:
            raise DataError(f"the gallery holds {len(gallery)} windows; needed are at least {NEIGHBOURS}")
        shown = encode(shifted_views(gallery, radius_px, seed + 1, views=1).images[0])
        measures["knn_accuracy"] = knn_accuracy(shown, gallery.labels, test_descriptors, test.labels)
    classes = len(np.unique(test.labels))
    if 1 < classes < len(test):
        _, clusters = k_means(test_descriptors, classes, seed=seed, attempts=10)
        measures["nmi"] = normalized_mutual_information(test.labels, clusters)
        measures["ari"] = adjusted_rand(test.labels, clusters)
    return measures


def knn_accuracy(known: Floats, labels: Whole, descriptors: Floats, true: Whole) -> float:
    """The share of descriptors (N, K) whose `NEIGHBOURS` nearest known ones (M, K) have mostly the true label (N,)."""
    values, numbers = np.unique(labels, return_inverse=True)
    known = known.astype(np.float64)
    norms = np.square(known).sum(1)
    found = []
    for start in range(0, len(descriptors), _ROWS_AT_ONCE):
        some = descriptors[start : start + _ROWS_AT_ONCE].astype(np.float64)
        nearest = np.argpartition(norms - 2.0 * some @ known.T, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        votes = (numbers[nearest][:, :, None] == np.arange(len(values))).sum(1)  # (n, classes)
        found.append(values[votes.argmax(1)])
    return float((np.concatenate(found) == true).mean())
