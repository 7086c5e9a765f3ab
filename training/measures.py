"""The measures every table of this project uses, by their fixed names.

dispersion         mean over images of the descriptor's variance over 8 random shifts / its total variance; 0 is best
knn_accuracy       5-nearest-neighbour class accuracy; neighbours are labelled training images, each randomly shifted
nmi, ari           k-means (k = number of classes) on the descriptors of test images against the classes
restoration_error  min over shifts of ‖D(E(I)) − T_θ I‖² / ‖I‖², mean; what leaves the window counts as error
shift_error        mean |(ŝ₁ − ŝ₂) − (p₁ − p₂)| per axis for two random shifts p of one image, pixels
shift_error_compared  the same with the shift found by comparing instead of by the regressor
hand_iou, object_iou, depth_error_mm  of channels named as the node's: `tiae_training.hand_measures`

Dispersion alone can be gamed by a model that restores one blob: it is never given without the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from tiae_ros.core.model import TransformInvariantAutoencoder
from tiae_ros.core.shifts import draw_shifts, shift_costs, shift_images
from tiae_ros.core.transforms import Transform
from tiae_ros.errors import DataError, MissingExtraError
from tiae_ros.vision.window import DEFAULT_RANGE_M
from tiae_training.arrays import ImageArrays
from tiae_training.hand_measures import hand_measures

VIEWS = 8  # random shifts per image
NEIGHBOURS = 5

Encode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ShiftedViews:
    """Every image under `VIEWS` random shifts: images, targets (V, N, C, H, W); shifts (V, N, 2)."""

    images: torch.Tensor
    targets: torch.Tensor
    shifts: torch.Tensor

    @staticmethod
    def draw(arrays: ImageArrays, radius_px: int, seed: int, views: int = VIEWS) -> ShiftedViews:
        """The views of a seed; radius 0 leaves the images where they are."""
        generator = torch.Generator().manual_seed(seed)
        images, targets = torch.from_numpy(arrays.images), torch.from_numpy(arrays.targets)
        shifts = [draw_shifts(len(arrays), radius_px, generator) for _ in range(views)]
        return ShiftedViews(
            torch.stack([shift_images(images, s) for s in shifts]),
            torch.stack([shift_images(targets, s) for s in shifts]),
            torch.stack(shifts),
        )

    @staticmethod
    def through(transform: Transform, arrays: ImageArrays, seed: int, views: int = VIEWS) -> ShiftedViews:
        """The images as a transform of shifts and appearances (`Composition`) shows them, targets only shifted."""
        generator = torch.Generator().manual_seed(seed)
        images = torch.from_numpy(arrays.images)
        drawn = [transform.draw(len(arrays), generator, torch.device("cpu")) for _ in range(views)]
        return ShiftedViews(
            torch.stack([transform.view(images, parameters) for parameters in drawn]),
            torch.stack([transform.apply(images, parameters) for parameters in drawn]),
            torch.stack([parameters[:, :2] for parameters in drawn]),
        )


def measure_model(
    model: TransformInvariantAutoencoder,
    test: ImageArrays,
    gallery: ImageArrays | None = None,
    *,
    shift_radius_px: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """All measures of a model on held-out data; those that need labels only when there are some.

    gallery: labelled training images for knn_accuracy. shift_radius_px: that of the test's random shifts; by
    default the model's own, or 8 for an ordinary auto-encoder. Raises DataError when shapes do not fit.
    """
    radius = shift_radius_px if shift_radius_px is not None else (model.manifest.shift_radius or 8)
    views = ShiftedViews.draw(test, radius, seed)
    measures = measure_views(model, views, test, gallery, gallery_radius_px=radius, seed=seed)
    manifest = getattr(model, "manifest", None)  # what a model is compared with has none
    range_m = float(manifest.preprocessing.get("range_m", DEFAULT_RANGE_M)) if manifest else DEFAULT_RANGE_M
    return measures | hand_measures(model.place, views.images, views.targets, test.channels, range_m)


def measure_views(
    model: TransformInvariantAutoencoder,
    views: ShiftedViews,
    test: ImageArrays,
    gallery: ImageArrays | None = None,
    *,
    gallery_radius_px: int = 0,
    seed: int = 0,
) -> dict[str, float]:
    """`measure_model` on given views of the test images, which may also be cluttered or otherwise changed.

    gallery_radius_px: that of the random shifts of the gallery, 0 when it is given as it is to be seen.
    """
    descriptors = np.stack([model.encode(v).cpu().numpy() for v in views.images])  # (V, N, K)
    measures = {"dispersion": dispersion(descriptors)}
    measures |= class_measures(model.encode, descriptors[0], test, gallery, gallery_radius_px, seed)
    measures["restoration_error"] = float(
        np.mean([restoration_error(model.restore(v), t) for v, t in zip(views.images, views.targets, strict=True)])
    )
    for name, compare in (("shift_error", False), ("shift_error_compared", True)):
        one, other = (model.estimate_shift(views.images[i], compare=compare).cpu() for i in (0, 1))
        measures[name] = shift_error(one - other, views.shifts[0] - views.shifts[1])
    return measures


def dispersion(descriptors: np.ndarray) -> float:
    """(V views, N images, K) -> mean variance over views / total variance over all; infinite when all are equal."""
    within = descriptors.var(0).sum(1).mean()
    total = descriptors.reshape(-1, descriptors.shape[-1]).var(0).sum()
    return float(within / total) if total > 0 else float("inf")


def restoration_error(restored: torch.Tensor, targets: torch.Tensor) -> float:
    """Mean over images of min over all whole shifts of ‖D(E(I)) − T_θ I‖² / ‖I‖²; blank images are left out."""
    energy = targets.square().sum((1, 2, 3))
    lowest = shift_costs(restored.cpu().float(), targets, targets.shape[-1] // 2).flatten(1).amin(1)
    return float((lowest / energy)[energy > 0].mean())


def shift_error(estimated: torch.Tensor, true: torch.Tensor) -> float:
    """Mean absolute difference per axis, pixels: (N, 2) twice."""
    return float((estimated - true).abs().mean())


def class_measures(
    encode: Encode,
    test_descriptors: np.ndarray,
    test: ImageArrays,
    gallery: ImageArrays | None,
    radius_px: int,
    seed: int,
) -> dict[str, float]:
    """knn_accuracy, nmi and ari, as far as labels allow."""
    if test.labels is None:
        return {}
    try:
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
        from sklearn.neighbors import KNeighborsClassifier
    except ImportError:
        raise MissingExtraError(
            "knn_accuracy and nmi need scikit-learn; install it: pip install 'tiae_ros[train]'"
        ) from None
    measures = {}
    if gallery is not None and gallery.labels is not None:
        if len(gallery) < NEIGHBOURS:
            raise DataError(f"the gallery holds {len(gallery)} windows; needed are at least {NEIGHBOURS}")
        shown = ShiftedViews.draw(gallery, radius_px, seed + 1, views=1).images[0]
        classifier = KNeighborsClassifier(NEIGHBOURS).fit(encode(shown.numpy()), gallery.labels)
        measures["knn_accuracy"] = float(classifier.score(test_descriptors, test.labels))
    classes = len(np.unique(test.labels))
    if 1 < classes < len(test):
        clusters = KMeans(classes, n_init=10, random_state=seed).fit_predict(test_descriptors)
        measures["nmi"] = float(normalized_mutual_info_score(test.labels, clusters))
        measures["ari"] = float(adjusted_rand_score(test.labels, clusters))
    return measures
