"""Names for what a model sees, from windows labelled after the training: what ``tiae name`` does."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, ParameterError
from tiae_ros.model.autoencoder import Autoencoder
from tiae_ros.model.naming import NONE
from tiae_training.data.arrays import ImageArrays, join_arrays, load_arrays
from tiae_training.prototypes import (
    NEAR_SHARE,
    HeldOut,
    Prototypes,
    judge_held_out,
    names_of,
    prototypes_of,
)

FEWEST_WINDOWS = 10  # of a name: of fewer, a fifth that is held out says nothing


@dataclass(frozen=True)
class Judged:
    """Shares of a name's held-out windows."""

    name: str
    windows: int
    right: float
    unknown: float
    wrong: float


@dataclass(frozen=True)
class Naming:
    """What came of it. others_unknown: the share of other things' windows that is called unknown; None: no such."""

    prototypes: Prototypes
    names: tuple[Judged, ...]
    others_unknown: float | None
    training: dict[str, Any]  # what the manifest is to say of it


def merge_by_name(parts: Sequence[ImageArrays]) -> ImageArrays:
    """One set of several labelled ones: equal names become one label, in the order in which they first appear.

    Raises DataError, naming the set by its data_id: without labels or names, or of other windows than the first.
    """
    for part in parts:
        if part.labels is None or not part.label_names:
            raise DataError(f"{part.data_id} has no names of its windows; make it with `tiae extract --label NAME`")
    return join_arrays(parts)


def refuse_the_same(parts: Sequence[ImageArrays]) -> None:
    """Raise DataError where two sets hold the same windows: judged by themselves they are all right, or all unknown."""
    seen: dict[bytes, str] = {}
    for part in parts:
        digest = hashlib.sha256(np.ascontiguousarray(part.images).data).digest()
        if digest in seen:
            raise DataError(f"{seen[digest]} and {part.data_id} hold the same windows; give each recording once")
        seen[digest] = part.data_id


def numbered_alike(arrays: ImageArrays, other: ImageArrays) -> ImageArrays:
    """The arrays with the other's label for each name; names the other has not get labels of their own after them.

    Where either has no names, its labels are taken to mean the same already.
    """
    if arrays.labels is None or not arrays.label_names or not other.label_names:
        return arrays
    names = tuple(dict.fromkeys((*other.label_names, *arrays.label_names)))
    new = np.array([names.index(name) for name in arrays.label_names], np.int64)
    return dataclasses.replace(arrays, labels=new[arrays.labels], label_names=names)


def load_together(paths: Sequence[Path], *, at_least: int = 1) -> ImageArrays:
    """One file as it is; several labelled ones merged by name. Raises DataError."""
    parts = [load_arrays(path, at_least=at_least) for path in paths]
    return parts[0] if len(parts) == 1 else merge_by_name(parts)


def name_model(
    model: Autoencoder,
    arrays: ImageArrays,
    others: Sequence[ImageArrays] = (),
    *,
    near_share: float = NEAR_SHARE,
    seed: int = 0,
) -> Naming:
    """Prototypes of the names in `arrays`, and how well the model tells them apart.

    near_share: the share of held-out windows that shall lie near enough to be called something. others: windows of
    other things, to count how many are called unknown; nothing is learnt from them.

    Raises DataError when windows do not fit the model or a name has too few, ParameterError for a share out of range.
    """
    if not 0.5 <= near_share <= 1:
        raise ParameterError(f"the share of windows to be named is {near_share}; accepted is 0.5 to 1")
    arrays, *others = (_fitting(model, part) for part in (arrays, *others))
    assert arrays.labels is not None
    counts = np.bincount(arrays.labels, minlength=len(arrays.label_names))
    for name, count in zip(arrays.label_names, counts.tolist(), strict=True):
        if count < FEWEST_WINDOWS:
            raise DataError(f"{name!r} has {count} windows; needed are at least {FEWEST_WINDOWS}: record more of it")
    descriptors = model.encode(arrays.images)
    held_out = judge_held_out(descriptors, arrays.labels, near_share=near_share, seed=seed)
    prototypes = prototypes_of(descriptors, arrays.labels, arrays.label_names, held_out.radius, seed=seed)
    judged = _judged(held_out, arrays.labels, arrays.label_names)
    told: dict[str, Any] = {
        "data": arrays.data_id,
        "near_share": near_share,
        "held_out": {j.name: {"windows": j.windows, "right": j.right, "unknown": j.unknown} for j in judged},
    }
    unknown = None
    if others:
        named = (names_of(model.encode(part.images), prototypes) for part in others)
        unknown = float(np.mean([not name for some in named for name in some]))
        told["others"] = {"data": ", ".join(part.data_id for part in others), "unknown": unknown}
    return Naming(prototypes, judged, unknown, {"names": told})


def _judged(held_out: HeldOut, labels: NDArray[np.int64], names: Sequence[str]) -> tuple[Judged, ...]:
    named = held_out.label != NONE
    right, wrong = held_out.label == labels, named & (held_out.label != labels)
    result = []
    for label, name in enumerate(names):
        own = labels == label
        shares = (float(which[own].mean()) for which in (right, ~named, wrong))
        result.append(Judged(name, int(own.sum()), *shares))
    return tuple(result)


def _fitting(model: Autoencoder, arrays: ImageArrays) -> ImageArrays:
    """Arrays that the model takes, their channels in its order. Raises DataError."""
    channels, size = model.manifest.channels, model.manifest.window_size
    try:
        if arrays.images.shape[2:] == (size, size):
            return arrays.in_order(channels)
    except DataError:
        pass  # said below, with the windows' size
    raise DataError(
        f"{arrays.data_id} holds {arrays.kind}; this model takes {size}×{size} pixels of {', '.join(channels)}"
    )
