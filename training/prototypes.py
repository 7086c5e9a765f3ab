"""Labelled prototypes: typical descriptors of each name, so that a model can name what it sees or say "unknown".

The auto-encoder itself is trained without labels; where the data has some, this is the only place they are used.

A descriptor gets the name of the nearest prototype, unless even that is farther than one radius, the same for all. Many
prototypes per name tell known grasps from others much better than few; a radius for each name or each prototype tells
them no better, and worse where a name has few windows (`benchmarks/naming.py`). The radius comes from windows that
the prototypes were not made of: windows lie nearer to centres made of them, the more so the fewer they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tiae_ros.core.model import TransformInvariantAutoencoder
from tiae_ros.errors import MissingExtraError
from tiae_training.arrays import ImageArrays
from tiae_training.measures import ShiftedViews

PER_CLASS = 48
NEAR_SHARE = 0.9
_FIFTHS = 5

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


def add_prototypes(
    model: TransformInvariantAutoencoder,
    arrays: ImageArrays,
    *,
    per_class: int = PER_CLASS,
    near_share: float = NEAR_SHARE,
    seed: int = 0,
) -> TransformInvariantAutoencoder:
    """A copy of the model with prototypes made of the windows' descriptors under random shifts.

    Needs labels and label_names in the data; without them the model is returned as it is.
    """
    if arrays.labels is None or not arrays.label_names:
        return model
    descriptors = shifted_descriptors(model, arrays, seed)
    held_out = judge_held_out(descriptors, arrays.labels, per_class=per_class, near_share=near_share, seed=seed)
    return with_prototypes(model, descriptors, arrays.labels, arrays.label_names, held_out.radius, per_class, seed)


def with_prototypes(
    model: TransformInvariantAutoencoder,
    descriptors: Floats,
    labels: Whole,
    label_names: Sequence[str],
    radius: float,
    per_class: int = PER_CLASS,
    seed: int = 0,
) -> TransformInvariantAutoencoder:
    """A copy of the model with prototypes of descriptors (N, K) and labels (N,); it shares the network."""
    centres = {label: _centres(descriptors[labels == label], per_class, seed) for label in np.unique(labels).tolist()}
    manifest = dataclasses.replace(
        model.manifest,
        prototype_names=tuple(label_names[label] for label, own in centres.items() for _ in own),
        prototype_radius=radius,
    )
    labelled = TransformInvariantAutoencoder(manifest=manifest).to(model.device)
    labelled.network = model.network
    stored = torch.as_tensor(np.concatenate(list(centres.values()))).half()  # in half the space; far finer than radius
    labelled.prototypes = stored.float().to(model.device)
    return labelled


def shifted_descriptors(model: TransformInvariantAutoencoder, arrays: ImageArrays, seed: int = 0) -> Floats:
    """Descriptors (N, K) of the windows, each under one random shift of those the model was trained to ignore."""
    shown = ShiftedViews.draw(arrays, model.manifest.shift_radius, seed, views=1).images[0]
    return model.encode(shown.numpy())


@dataclass(frozen=True)
class HeldOut:
    """Every window judged by prototypes of the other four fifths of its name's windows.

    own (N,) is the distance to its name's nearest prototype, infinite where there is none; nearest (N,) that to the
    nearest of all, and label (N,) the label of that one; radius within which the wanted share of `own` lies; named
    (N,) whether a window is called something, by the radius of the windows that are not in its fifth.
    """

    own: NDArray[np.float64]
    nearest: NDArray[np.float64]
    label: Whole
    radius: float
    named: NDArray[np.bool_]


def judge_held_out(
    descriptors: Floats,
    labels: Whole,
    *,
    per_class: int = PER_CLASS,
    near_share: float = NEAR_SHARE,
    seed: int = 0,
) -> HeldOut:
    """Judge descriptors (N, K) with labels (N,) fifth by fifth.

    A fifth is a stretch of a name's windows in their order, not a random choice: neighbours in a recording are nearly
    the same picture, and would be judged by themselves.
    """
    fifth = _fifths(labels)
    own, nearest = np.full(len(labels), np.inf), np.full(len(labels), np.inf)
    label = np.full(len(labels), -1, np.int64)
    for number in range(_FIFTHS):
        inside = np.flatnonzero(fifth == number)
        for name in np.unique(labels[fifth != number]).tolist():
            centres = _centres(descriptors[(labels == name) & (fifth != number)], per_class, seed)
            distance = nearest_distance(descriptors[inside], centres)
            own[inside] = np.where(labels[inside] == name, distance, own[inside])
            label[inside] = np.where(distance < nearest[inside], name, label[inside])
            nearest[inside] = np.minimum(distance, nearest[inside])
    radii = np.array([_radius(own[fifth != number], near_share) for number in range(_FIFTHS)])
    return HeldOut(own, nearest, label, _radius(own, near_share), nearest <= radii[fifth])


def nearest_distance(descriptors: Floats, prototypes: Floats) -> NDArray[np.float64]:
    """(N, K) and (P, K) -> how far each descriptor is from the nearest prototype (N,)."""
    one, other = descriptors.astype(np.float64), prototypes.astype(np.float64)
    squares = (one**2).sum(1)[:, None] - 2 * one @ other.T + (other**2).sum(1)
    return np.sqrt(np.maximum(squares.min(1), 0))


def _fifths(labels: Whole) -> Whole:
    """(N,) -> 0..4, which fifth of its label's windows each is in."""
    fifth = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        fifth[own] = np.arange(len(own)) * _FIFTHS // len(own)
    return fifth


def _radius(distances: NDArray[np.float64], near_share: float) -> float:
    """The distance within which that share lies; 0 where nothing was held out."""
    known = distances[np.isfinite(distances)]
    return float(np.quantile(known, near_share)) if len(known) else 0.0


def _centres(descriptors: Floats, count: int, seed: int) -> Floats:
    """At most `count` typical ones of descriptors (N, K): centres of k-means, or all where there are no more."""
    if len(descriptors) <= count:
        return descriptors
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtraError("prototypes need scikit-learn; install it: pip install 'tiae_ros[train]'") from None
    return KMeans(count, n_init=1, random_state=seed).fit(descriptors).cluster_centers_.astype(np.float32)
