"""Labelled prototypes: typical descriptors of each name, so that a model can name what it sees or say "unknown".

The auto-encoder itself is trained without labels; where the data has some, this is the only place they are used.

A descriptor gets the name that has most votes of the prototypes around it (`tiae_ros.model.naming`). It has none where
its lead is small, or where even the nearest prototype is farther than one radius, the same for all. Many prototypes per
name tell known grasps from others much better than few; a radius for each name or each prototype tells them no better,
and worse where a name has few windows. The radius comes from windows that the prototypes were not made of: windows lie
nearer to centres made of them, the more so the fewer they are.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.model.autoencoder import Autoencoder, load_model
from tiae_ros.model.folder import PROTOTYPES, read_folder, write_folder
from tiae_ros.model.manifest import AUTOENCODER, Manifest
from tiae_ros.model.naming import NONE, numbered, voted_labels
from tiae_training.card import write_card
from tiae_training.clusters import k_means
from tiae_training.data.arrays import ImageArrays
from tiae_training.measures import shifted_views

PER_CLASS = 48
NEAR_SHARE = 0.9
_FIFTHS = 5

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Prototypes:
    """rows (P, K), the name of each, and the distance beyond which there is no name."""

    rows: Floats
    names: tuple[str, ...]
    radius: float


def add_prototypes(
    folder: Path,
    arrays: ImageArrays,
    *,
    per_class: int = PER_CLASS,
    near_share: float = NEAR_SHARE,
    seed: int = 0,
) -> Manifest | None:
    """Put prototypes made of the windows' descriptors under random shifts into a model folder.

    Needs labels and label_names in the data; without them the folder stays as it is, and there is no manifest.
    """
    if arrays.labels is None or not arrays.label_names:
        return None
    descriptors = shifted_descriptors(load_model(folder), arrays, seed)
    held_out = judge_held_out(descriptors, arrays.labels, per_class=per_class, near_share=near_share, seed=seed)
    return save_prototypes(
        folder, prototypes_of(descriptors, arrays.labels, arrays.label_names, held_out.radius, per_class, seed)
    )


def prototypes_of(
    descriptors: Floats,
    labels: Whole,
    label_names: Sequence[str],
    radius: float,
    per_class: int = PER_CLASS,
    seed: int = 0,
) -> Prototypes:
    """Typical ones of descriptors (N, K) with labels (N,); as they are stored, far finer than the radius."""
    centres = {label: _centres(descriptors[labels == label], per_class, seed) for label in np.unique(labels).tolist()}
    rows = np.concatenate(list(centres.values())).astype(np.float16).astype(np.float32)
    return Prototypes(rows, tuple(label_names[label] for label, own in centres.items() for _ in own), radius)


def save_prototypes(
    folder: Path, prototypes: Prototypes, training: Mapping[str, Any] | None = None, *, out: Path | None = None
) -> Manifest:
    """Give the model of a folder, or a copy of it in `out`, these names and no others; weights and measures stay.

    Killed at any moment, the folder holds the old model or the new one; the card follows at the end.
    training: what its manifest is to say of its making besides. Raises OutputError.
    """
    content = read_folder(folder, AUTOENCODER)
    stored = io.BytesIO()
    np.save(stored, prototypes.rows.astype(np.float16), allow_pickle=False)
    manifest = dataclasses.replace(
        content.manifest,
        prototype_names=prototypes.names,
        prototype_radius=prototypes.radius,
        training={**content.manifest.training, **(training or {})},
    )
    manifest = write_folder(out or folder, manifest, {**content.files, PROTOTYPES: stored.getvalue()})
    write_card(manifest, out or folder)
    return manifest


def shifted_descriptors(model: Autoencoder, arrays: ImageArrays, seed: int = 0) -> Floats:
    """Descriptors (N, K) of the windows, each under one random shift of those the model was trained to ignore."""
    return model.encode(shifted_views(arrays, model.manifest.shift_radius, seed, views=1).images[0])


@dataclass(frozen=True)
class HeldOut:
    """Every window judged by prototypes of the other four fifths of its name's windows.

    own (N,) is the distance to its name's nearest prototype, infinite where there is none; radius that within which the
    wanted share of `own` lies; label (N,) what a window is called by the radius of the windows that are not in its
    fifth, `NONE` where it has no name.
    """

    own: NDArray[np.float64]
    label: Whole
    radius: float


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
    own, label = np.full(len(labels), np.inf), np.full(len(labels), NONE, np.int64)
    judged: list[tuple[Whole, NDArray[np.float64], Whole]] = []  # windows, distances to the prototypes, their labels
    for number in range(_FIFTHS):
        inside = np.flatnonzero(fifth == number)
        names = np.unique(labels[fifth != number])
        centres = [_centres(descriptors[(labels == name) & (fifth != number)], per_class, seed) for name in names]
        of_centres = np.repeat(names, [len(some) for some in centres])
        away = _distances(descriptors[inside], np.concatenate([descriptors[:0], *centres]))
        own[inside] = np.where(labels[inside][:, None] == of_centres, away, np.inf).min(axis=1, initial=np.inf)
        judged.append((inside, away, of_centres))
    for number, (inside, away, of_centres) in enumerate(judged):
        label[inside] = voted_labels(away, of_centres, _radius(own[fifth != number], near_share))
    return HeldOut(own, label, _radius(own, near_share))


def names_of(descriptors: Floats, prototypes: Prototypes) -> list[str]:
    """The name of each descriptor (N, K), as a model with these prototypes gives it; "" for none."""
    names, labels = numbered(prototypes.names)
    found = voted_labels(_distances(descriptors, prototypes.rows), labels, prototypes.radius)
    return ["" if label == NONE else names[label] for label in found]


def _distances(descriptors: Floats, prototypes: Floats) -> NDArray[np.float64]:
    """(N, K) and (P, K) -> (N, P)."""
    one, other = descriptors.astype(np.float64), prototypes.astype(np.float64)
    squares = (one**2).sum(1)[:, None] - 2 * one @ other.T + (other**2).sum(1)
    return np.sqrt(np.maximum(squares, 0))


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
    return k_means(descriptors, count, seed=seed)[0]
