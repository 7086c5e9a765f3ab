"""Measures of models that find poses, and of what they are held against.

dispersion_two_views  the descriptor's variance between two random poses of one pattern / its total variance
knn_accuracy          as `tiae_training.measures`, neighbours under random poses too
angle_error_deg       median over windows of how far two views' angles differ from what was done; a constant is free
turned_round          share of windows where that is more than 90°
scale_error           median of the same of scales, as a share
restoration_error     mean of min over poses of ‖D(E(I)) − T_θ I‖² / ‖I‖²
iou                   of restored patterns laid on their inputs and the true patterns, pixels at least half inked
sure, wrong_when_sure share of windows whose angle the model calls known; of these, how many are off by more than 90°
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.errors import ParameterError
from tiae_ros.model.ambiguity import angle_is_known
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.digits import DIGIT_NAMES
from tiae_training.measures import knn_accuracy
from tiae_training.transforms.poses import MIRRORED_POSE, bring_back, compose, invert, place_by_pose, widened
from tiae_training.transforms.similarity import Similarity
from tiae_training.transforms.transform import Transform

SYMMETRIC = (0, 1, 8)  # digits that look much alike after half a turn: their angle has two answers
VISIBLE = 0.5  # a pixel of the pattern: half the ink or more
_ROWS_AT_ONCE = 512


class Posed(Protocol):
    """The doors that these measures use: those of an `Autoencoder`, and of what it is held against."""

    def encode(self, images: Any) -> Any: ...

    def restore(self, images: Any) -> Any: ...

    def estimate_parameters(self, images: Any) -> Any: ...


@dataclass(frozen=True)
class View:
    """Windows under random transforms: as seen, as they would be on black (N, C, S, S) twice, and poses (N, P)."""

    seen: Tensor
    alone: Tensor
    poses: Tensor


def measure_poses(
    model: Posed, transform: Transform, test: ImageArrays, gallery: ImageArrays, seed: int
) -> dict[str, Any]:
    """Measures under random poses, two views of each test window.

    The angle's error also without the digits that are symmetric, and for each label by itself.
    """
    generator = torch.Generator().manual_seed(seed + 11)
    one, other = (drawn_view(transform, test, generator) for _ in range(2))
    descriptors = torch.stack([torch.as_tensor(model.encode(view.seen)) for view in (one, other)])  # (2, N, K)
    within, total = descriptors.var(0, unbiased=False).sum(1).mean(), descriptors.flatten(0, 1).var(0).sum()
    poses, other_poses = (torch.as_tensor(model.estimate_parameters(view.seen)) for view in (one, other))
    restored = torch.as_tensor(model.restore(one.seen))
    search = movement_of(transform)
    compared, other_compared = (compared_poses(model, search, view) for view in (one, other))
    angle, scale = differences(poses, other_poses, one, other)
    angle_compared, scale_compared = differences(compared, other_compared, one, other)
    measures: dict[str, Any] = {
        "dispersion_two_views": float(within / total),
        "angle_error_deg": float(angle.median()),
        "angle_error_compared_deg": float(angle_compared.median()),
        "turned_round": float((angle > 90.0).float().mean()),
        "scale_error": float(scale.median()),
        "scale_error_compared": float(scale_compared.median()),
        "restoration_error": posed_restoration_error(restored, one.alone, search, poses),
        "iou": overlap(place_by_pose(restored, poses), one.alone),
    }
    if getattr(model, "tells_confidence", False):
        known = [angle_is_known(model.angle_confidence(view.seen)) for view in (one, other)]  # type: ignore[attr-defined]
        sure = torch.from_numpy(known[0] & known[1])
        measures["sure"] = float(sure.float().mean())
        measures["wrong_when_sure"] = float((angle[sure] > 90.0).float().mean()) if bool(sure.any()) else 0.0
    if test.labels is not None and gallery.labels is not None:
        measures["angle_error_by_label_deg"] = {
            test.label_names[label]: round(float(angle[test.labels == label].median()), 2)
            for label in np.unique(test.labels)
            if test.label_names
        }
        if test.label_names == DIGIT_NAMES:
            clear = torch.from_numpy(~np.isin(test.labels, SYMMETRIC))
            measures["angle_error_unsymmetric_deg"] = float(angle[clear].median())
        shown = drawn_view(transform, gallery, generator)
        measures["knn_accuracy"] = knn_accuracy(
            np.asarray(model.encode(shown.seen)), gallery.labels, descriptors[0].numpy(), test.labels
        )
    return measures


def drawn_view(transform: Transform, arrays: ImageArrays, generator: torch.Generator) -> View:
    """Each window under a random transform."""
    images = torch.from_numpy(arrays.images)
    drawn = transform.draw(len(images), generator)
    columns = len(movement_of(transform).columns)
    return View(transform.apply(images, drawn), transform.move(images, drawn), drawn[:, :columns])


def differences(one: Tensor, other: Tensor, view: View, view_other: View) -> tuple[Tensor, Tensor]:
    """How far two views' poses (N, P) differ from what was done: degrees (N,), and scales as a share (N,).

    A mirror that is found in one of two views too many counts as upside down.
    """
    wide = max(one.shape[1], view.poses.shape[1])
    one, other, true, true_other = (widened(p, wide) for p in (one, other, view.poses, view_other.poses))
    off = compose(compose(one, invert(other)), invert(compose(true, invert(true_other))))
    angle = torch.rad2deg(off[:, 2].abs())
    if wide == MIRRORED_POSE:
        angle = torch.where(off[:, 4] > 0.5, torch.full_like(angle, 180.0), angle)
    return angle, torch.expm1(off[:, 3].abs())


def overlap(restored: Tensor, true: Tensor) -> float:
    """Mean intersection over union of what is visible: (N, C, S, S) twice."""
    ours, theirs = restored >= VISIBLE, true >= VISIBLE
    both, either = (ours & theirs).sum((1, 2, 3)), (ours | theirs).sum((1, 2, 3)).clamp_min(1)
    return float((both / either).float().mean())


def compared_poses(model: Posed, search: Similarity, view: View) -> Tensor:
    """Poses (N, P) found by comparing input and restored pattern."""
    restored = torch.as_tensor(model.restore(view.seen))
    poses = search.best(restored, view.seen, torch.as_tensor(model.estimate_parameters(view.seen)))
    return search.refine(restored, view.seen, poses)


def movement_of(transform: Transform) -> Similarity:
    """The kind that moves the pattern, to search with: without the anchor of training."""
    movement = transform.movement
    if not isinstance(movement, Similarity):
        raise ParameterError(f"measures of poses take rotation, scale or mirror; the transform is {movement!r}")
    return replace(movement, anchor=0.0)


def posed_restoration_error(
    restored: Tensor, targets: Tensor, search: Similarity, estimated: Tensor | None = None
) -> float:
    """Mean over windows of min over poses of ‖D(E(I)) − T_θ I‖² / ‖I‖²; blank windows are left out.

    `restoration_error` with angle and scale: on a canvas on which nothing leaves the window, and on the input's own
    scale, so that no pattern gets cheaper by being restored smaller. The minimum is the lowest of what the search finds
    from the estimated poses (N, P) and from none, refined, and of the estimates themselves.
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
    """‖R − T_pose⁻¹ I‖² times scale², on a canvas of twice the window's side: (N, C, S, S) twice, (N, P) -> (N,)."""
    around = (restored.shape[-1] // 2,) * 4
    difference = F.pad(restored, around) - bring_back(F.pad(targets, around), poses)
    return difference.square().sum((1, 2, 3)) * torch.exp(2.0 * poses[:, 3])
