"""What a few pairs of a hand seen and a robot's joints teach: a correction of the joints that retargeting gives.

Kernel ridge regression of the residual, robot joints - retargeted joints, on what the hand pose model says (joints,
fingertips) and the descriptor. Far from all pairs a Gaussian kernel's correction ends in their mean, so that a map of
five pairs does no harm to poses it knows nothing of. Width, stiffness, and whether to correct at all, are chosen by
leaving out one block of neighbouring pairs after the other: frames of one recording are nearly the same picture.

The map's file is an .npz of plain arrays. It names the hand pose model and the robot hand it was made with; with others
it is refused.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, ModelError
from tiae_ros.imitation.human_hand import FINGERS, JOINT_NAMES
from tiae_ros.imitation.robot_hand import RobotHand
from tiae_ros.model.folder import POSE, write_whole
from tiae_ros.model.manifest import Manifest

Numbers = NDArray[np.float64]

FEWEST, MOST = 5, 2000
FORMAT = 1
_BLOCKS = 10
_CHOOSE_BY = 300  # pairs, evenly: of 2,000, each choice would take seconds
_WIDTHS = (0.5, 1.0, 2.0, 4.0)  # of the kernel, in mean distances between pairs
_STIFFNESS = (1e-3, 1e-2, 1e-1, 1.0)
_LARGEST_FILE = 64 * 2**20
_ARRAYS = {
    "format": "i", "pose_model": "U", "pose_sha256": "U", "hand": "U", "side": "U", "joint_names": "U",
    "mean": "f", "scale": "f", "points": "f", "weights": "f", "offset": "f", "width": "f",
}  # fmt: skip


@dataclass(frozen=True)
class Belongs:
    """What a map was made with."""

    pose_model: str
    pose_sha256: str
    hand: str
    side: str
    joint_names: tuple[str, ...]

    @staticmethod
    def to(pose: Manifest, hand: RobotHand) -> Belongs:
        """A hand pose model and a robot hand."""
        return Belongs(pose.model_id, pose.files.get(POSE, ""), hand.name, hand.side, hand.names)


@dataclass(frozen=True)
class PairMap:
    """features (F,) -> correction (A,) radians, for the joints of one robot hand."""

    belongs: Belongs
    mean: Numbers  # (F,) of the features
    scale: Numbers  # (F,)
    points: Numbers  # (P, F) in those units
    weights: Numbers  # (P, A)
    offset: Numbers  # (A,) mean residual
    width: float

    def correction(self, features: Numbers) -> Numbers:
        """(N, F) -> (N, A) radians to be added to the retargeted joints."""
        made: Numbers = (
            _kernel((features - self.mean) / self.scale, self.points, self.width) @ self.weights + self.offset
        )
        return made

    def correct(self, angles: Numbers, features: Numbers, hand: RobotHand) -> Numbers:
        """One hand: (A,) retargeted radians and (F,) features -> (A,) within the robot's limits."""
        return hand.within_limits(angles + self.correction(np.asarray(features, float)[None])[0])

    def check(self, pose: Manifest, hand: RobotHand) -> None:
        """Raise ModelError unless it was made with this hand pose model and this robot hand."""
        own, given = self.belongs, Belongs.to(pose, hand)
        again = "make another: tiae imitate fit"
        if own.pose_sha256 != given.pose_sha256:
            raise ModelError(
                f"the map was made with the hand pose model {own.pose_model} ({own.pose_sha256[:12]}…), this is "
                f"{given.pose_model} ({given.pose_sha256[:12]}…); {again}"
            )
        if (own.hand, own.side, own.joint_names) != (given.hand, given.side, given.joint_names):
            raise ModelError(
                f"the map was made for the {own.side} hand {own.hand} of {len(own.joint_names)} joints, this is the "
                f"{given.side} hand {given.hand} of {len(given.joint_names)}; {again}"
            )
        if self.mean.size != (needed := len(JOINT_NAMES) + 3 * len(FINGERS) + pose.descriptor_size):
            raise ModelError(f"the map reads {self.mean.size} numbers of a hand, there are {needed}; {again}")


@dataclass(frozen=True)
class Fit:
    """A map, and what it does to pairs that were left out, mean absolute errors in degrees."""

    map: PairMap
    before_deg: float
    after_deg: float


def pair_features(joints: NDArray[Any], tips_mm: NDArray[Any], descriptors: NDArray[Any]) -> Numbers:
    """(N, 25), (N, 5, 3), (N, K) -> (N, F)."""
    return np.concatenate([joints, tips_mm.reshape(len(tips_mm), -1) / 100, descriptors], 1).astype(np.float64)


def fit_pairs(features: Numbers, retargeted: Numbers, measured: Numbers, belongs: Belongs) -> Fit:
    """A map from pairs in the order of recording: (P, F), (P, A) and (P, A) radians; NaN where a joint was not told.

    Joints that are not told in all pairs are not corrected. Of more than `MOST` pairs so many are taken, evenly.
    Raises DataError for too few.
    """
    usable = np.isfinite(features).all(1) & np.isfinite(retargeted).all(1) & np.isfinite(measured).any(1)
    rows = np.flatnonzero(usable)
    if len(rows) < FEWEST:
        raise DataError(f"there are {len(rows)} pairs that can be used; accepted are {FEWEST} to {MOST}")
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().astype(int)]
    features, residual = features[rows], measured[rows] - retargeted[rows]
    told = np.isfinite(residual).all(0)
    if not told.any():
        raise DataError("no joint is told in all of the pairs; record the robot's joints together")
    residual = np.where(told, residual, 0.0)
    mean, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 1e-6 * max(1.0, float(scale.max())), scale, np.inf)  # what never changes says nothing
    points = (features - mean) / scale
    unit = max(float(np.sqrt(_squares(points, points)).mean()), 1e-6)
    blocks = np.arange(len(points)) * min(_BLOCKS, len(points)) // len(points)
    some = np.linspace(0, len(points) - 1, min(len(points), _CHOOSE_BY)).round().astype(int)
    choices = [(width * unit, stiffness) for width in _WIDTHS for stiffness in _STIFFNESS]
    left_out = {choice: _left_out(points[some], residual[some], blocks[some], *choice) for choice in choices}
    best = min(left_out, key=lambda choice: float(np.abs(residual[some] - left_out[choice])[:, told].mean()))
    offset_alone = np.stack([residual[blocks != block].mean(0) for block in blocks])
    before = float(np.degrees(np.abs(residual[:, told]).mean()))
    after = float(np.degrees(np.abs(residual - _left_out(points, residual, blocks, *best))[:, told].mean()))
    plain = float(np.degrees(np.abs(residual - offset_alone)[:, told].mean()))
    offset = residual.mean(0)
    weights = _solve(_kernel(points, points, best[0]), residual - offset, best[1])
    if min(before, plain) <= after:  # too few, or nothing in common: no more than these pairs show to be of use
        weights = np.zeros_like(weights)
        offset, after = (offset, plain) if plain < before else (np.zeros_like(offset), before)
    return Fit(PairMap(belongs, mean, scale, points, weights, offset, best[0]), before, after)


def save_map(pair_map: PairMap, path: Path) -> None:
    """Write a map's file, whole or not at all. Raises OutputError."""
    content = io.BytesIO()
    own = pair_map.belongs
    np.savez_compressed(
        content,
        format=np.array(FORMAT),
        pose_model=np.array(own.pose_model),
        pose_sha256=np.array(own.pose_sha256),
        hand=np.array(own.hand),
        side=np.array(own.side),
        joint_names=np.array(own.joint_names),
        mean=pair_map.mean,
        scale=pair_map.scale,
        points=pair_map.points.astype(np.float32),
        weights=pair_map.weights.astype(np.float32),
        offset=pair_map.offset,
        width=np.array(pair_map.width),
    )
    write_whole(path, content.getvalue())


def load_map(path: str | os.PathLike[str]) -> PairMap:
    """Read a map's file. Raises ModelError, in one line, for anything else."""
    source = Path(path)
    advice = "make it again: tiae imitate fit"
    if not source.is_file():
        raise ModelError(f"there is no file {source}; give the file of `tiae imitate fit --out`")
    try:
        with zipfile.ZipFile(source) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST_FILE:
            raise ValueError(f"it holds {size} bytes; accepted are up to {_LARGEST_FILE}")
        with np.load(source, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in _ARRAYS}
    except Exception as error:  # of damaged files: what zipfile and numpy raise has no common base
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"{source} is no map of pairs: {detail}; {advice}") from None
    if any(held[name].dtype.kind != kind for name, kind in _ARRAYS.items()) or held["format"].shape:
        raise ModelError(f"{source} holds arrays of other kinds than a map of pairs; {advice}")
    if int(held["format"]) != FORMAT:
        raise ModelError(f"{source} is of format {int(held['format'])}; this release reads {FORMAT}; {advice}")
    numbers = {name: held[name].astype(np.float64) for name, kind in _ARRAYS.items() if kind == "f"}
    pairs, features = numbers["points"].shape if numbers["points"].ndim == 2 else (0, 0)
    joints = held["joint_names"].size
    shapes = {
        "mean": (features,), "scale": (features,), "points": (pairs, features), "weights": (pairs, joints),
        "offset": (joints,), "width": (),
    }  # fmt: skip
    if not pairs or any(numbers[name].shape != shape for name, shape in shapes.items()):
        told = ", ".join(f"{name} {numbers[name].shape}" for name in shapes)
        raise ModelError(f"{source} holds arrays that do not fit each other ({told}); {advice}")
    if not all(np.isfinite(values).all() for name, values in numbers.items() if name != "scale") or not (
        (numbers["scale"] > 0).all() and numbers["width"] > 0
    ):
        raise ModelError(f"{source} holds numbers that are not finite, or no width; {advice}")
    names = tuple(str(name) for name in held["joint_names"].ravel())
    texts = {name: str(held[name]) for name in ("pose_model", "pose_sha256", "hand", "side")}
    return PairMap(Belongs(joint_names=names, **texts), width=float(numbers.pop("width")), **numbers)


def _kernel(one: Numbers, other: Numbers, width: float) -> Numbers:
    values: Numbers = np.exp(-_squares(one, other) / (2 * width**2))
    return values


def _squares(one: Numbers, other: Numbers) -> Numbers:
    """Squared distances, (N, P)."""
    squares: Numbers = np.square(one).sum(1)[:, None] + np.square(other).sum(1)[None] - 2 * one @ other.T
    return np.asarray(squares.clip(0.0))


def _solve(kernel: Numbers, wanted: Numbers, stiffness: float) -> Numbers:
    return np.asarray(np.linalg.solve(kernel + stiffness * np.eye(len(kernel)), wanted), np.float64)


def _left_out(points: Numbers, residual: Numbers, blocks: NDArray[np.int_], width: float, stiffness: float) -> Numbers:
    """What maps of the other blocks say of each pair, (P, A)."""
    kernel, said = _kernel(points, points, width), np.empty_like(residual)
    for block in np.unique(blocks):
        here, there = np.flatnonzero(blocks == block), np.flatnonzero(blocks != block)
        mean = residual[there].mean(0)
        weights = _solve(kernel[np.ix_(there, there)], residual[there] - mean, stiffness)
        said[here] = kernel[np.ix_(here, there)] @ weights + mean
    return said
