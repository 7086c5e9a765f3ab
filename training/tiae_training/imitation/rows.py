"""Windows files -> what is known of the hand in each window; NaN stands for what is not known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError
from tiae_ros.imitation.human_hand import FINGERS, JOINT_NAMES
from tiae_ros.model.manifest import Manifest
from tiae_training.data.arrays import ImageArrays, load_arrays
from tiae_training.data.windows import CHANNELS as WINDOW_CHANNELS
from tiae_training.imitation.seeing import details_of, no_details
from tiae_training.simulator.hand import KEYPOINTS

Floats = NDArray[np.float32]

FINGER_JOINTS = np.array(
    [n for n, name in enumerate(JOINT_NAMES) if not name.startswith("wrist") and not name.endswith("_cmc_flexion")]
    + [JOINT_NAMES.index("thumb_cmc_flexion")]
)
"""Rows of the 21 joints of the fingers: without the wrist and the two bends of the palm."""
FINGER_JOINTS.sort()
WITH_DEPTH = WINDOW_CHANNELS["both"]


@dataclass(frozen=True)
class HandRows:
    """N windows of hands."""

    images: Floats  # (N, C, S, S) 0..1
    joints: Floats  # (N, 25) rad
    tips_mm: Floats  # (N, 5, 3)
    left: Floats  # (N,) 0 or 1
    length_mm: Floats  # (N,)
    view: Floats  # (N, 3) from the hand to the camera in the palm frame
    subjects: NDArray[np.int64]  # (N,), -1 unknown
    kinds: NDArray[np.str_]  # (N,) the grasp's name, "" unknown
    keypoints: Floats  # (N, 21, 3) from the window's middle: window pixels right and down, metres away from its depth
    details: NDArray[np.uint8]  # (N, 3, 80, 80) 0..255 (`tiae_ros.vision.detail`); (N, 0, 0, 0): there are none
    data_id: str
    without_details: str = ""  # files that have none

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> HandRows:
        """The chosen rows."""
        return dataclasses.replace(self, **{name: getattr(self, name)[index] for name in _COLUMNS})

    def without(self) -> HandRows:
        """The same without details."""
        return dataclasses.replace(self, details=no_details(len(self)))

    def apart(self, share: float, seed: int) -> tuple[HandRows, HandRows]:
        """Two parts without a person in common, the second of about this share; by windows where none are told."""
        persons = self.subjects if (self.subjects >= 0).all() else np.arange(len(self))
        every = np.unique(persons)
        if len(every) < 2:
            every = persons = np.arange(len(self))
        chosen = np.random.default_rng(seed).permutation(every)[: max(1, round(share * len(every)))]
        held_out = np.isin(persons, chosen)
        return self.take(~held_out), self.take(held_out)


_COLUMNS = [field.name for field in dataclasses.fields(HandRows) if field.name not in ("data_id", "without_details")]


def load_hand_rows(paths: Sequence[Path], of: Manifest) -> HandRows:
    """Files of `tiae simulate windows`, `tiae simulate` or `tiae extract --joints`, with the channels of a model.

    Raises DataError: not readable, other channels, cut in another way, or without joints.
    """
    parts = [load_arrays(path, at_least=1).in_order(of.channels) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.images.shape[-1] != of.window_size:
            raise DataError(
                f"{path}: windows have {part.images.shape[-1]} pixels; {of.model_id} takes {of.window_size}"
            )
        for name, value in part.preprocessing.items():
            if of.preprocessing.get(name, value) != value:
                raise DataError(f"{path} was cut with {name} {value:g}, {of.model_id} with {of.preprocessing[name]:g}")
    rows = [_rows_of(path, part) for path, part in zip(paths, parts, strict=True)]
    without = " ".join(part.data_id for part, row in zip(parts, rows, strict=True) if not row.details.shape[1])
    if without:
        rows = [dataclasses.replace(row, details=no_details(len(row))) for row in rows]
    ids = " ".join(part.data_id for part in parts)
    return dataclasses.replace(
        rows[0],
        data_id=ids,
        without_details=without,
        **{name: np.concatenate([getattr(row, name) for row in rows]) for name in _COLUMNS},
    )


def check_details(rows: HandRows, of: Manifest) -> None:
    """Raise DataError unless hands are told in detail, with keypoints, for a model with the node's three channels."""
    if of.channels != WITH_DEPTH:
        raise DataError(
            f"{of.model_id} sees {', '.join(of.channels)}; hands are seen in detail beside {', '.join(WITH_DEPTH)}; "
            "train with --sees descriptor, or for another --model"
        )
    how = "`tiae simulate hands` makes them, `tiae simulate` and `tiae simulate windows` with --details"
    if rows.without_details:
        raise DataError(f"{rows.without_details} holds no details; {how}; or train with --sees descriptor")
    if len(rows) and not np.isfinite(rows.keypoints).any():
        raise DataError(f"{rows.data_id} tells no keypoints; {how}; frames of an earlier version have to be drawn anew")


def _rows_of(path: Path, arrays: ImageArrays) -> HandRows:
    given, count = arrays.others, len(arrays)
    if "joints" not in given:
        raise DataError(f"{path} holds no joints; needed are windows of `tiae simulate` or `tiae simulate windows`")
    names = [str(name) for name in given["joint_names"]]
    if not set(names) & set(JOINT_NAMES):
        raise DataError(
            f"{path}: joints are {', '.join(names)[:80]}; needed are those of a human hand, {JOINT_NAMES[0]} …"
        )
    joints = np.full((count, len(JOINT_NAMES)), np.nan, np.float32)
    for column, name in enumerate(JOINT_NAMES):
        if name in names:
            joints[:, column] = given["joints"][:, names.index(name)]

    def column_of(name: str, shape: tuple[int, ...]) -> Floats:
        values = given.get(name)
        if values is None:
            return np.full((count, *shape), np.nan, np.float32)
        if values.shape != (count, *shape):
            raise DataError(f"{path}: {name} have shape {values.shape}; accepted is {(count, *shape)}")
        return values.astype(np.float32)

    kinds = np.full(count, "", dtype="U40")
    if arrays.labels is not None and arrays.label_names:
        kinds = np.array(arrays.label_names)[arrays.labels].astype("U40")
    return HandRows(
        images=arrays.images,
        joints=joints,
        tips_mm=column_of("tips_mm", (len(FINGERS), 3)),
        left=column_of("left_hand", ()),
        length_mm=column_of("hand_size_m", ()) * 1000,
        view=column_of("view", (3,)),
        subjects=given["subjects"].astype(np.int64) if "subjects" in given else np.full(count, -1),
        kinds=kinds,
        keypoints=column_of("keypoints", (len(KEYPOINTS), 3)),
        details=details_of(arrays),
        data_id=arrays.data_id,
    )
