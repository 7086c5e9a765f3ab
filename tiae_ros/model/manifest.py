"""What a model says of itself: the manifest, checked field by field before anything is built from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiae_ros.errors import ModelError

FORMAT_VERSION = 2
AUTOENCODER, SEGMENTATION, DETECTOR, HAND_POSE = "autoencoder", "segmentation", "detector", "hand_pose"
KINDS = (AUTOENCODER, SEGMENTATION, DETECTOR, HAND_POSE)
_OF_WINDOWS = (AUTOENCODER, HAND_POSE)
METRIC = ("metric_size_m", "range_m")  # of the preprocessing, where a model has them
_SIZES = {"window_size": (8, 256), "descriptor_size": (1, 4096)}  # of what reads windows


@dataclass(frozen=True)
class Manifest:
    """Everything about a model but its weights.

    Attributes:
        model_id: a name for people and diagnostics, e.g. ``grasp-20261123``.
        kind: ``autoencoder``; for what finds hands in a frame ``segmentation`` or, by two looks, ``detector``; for what
            tells the joints of the hand in a window ``hand_pose``.
        network: its name and sizes, as `tiae_training.networks` builds it again, e.g. ``{"name": "standard"}``.
        channels: what each input channel means, e.g. ``("hand_mask", "object_mask")``.
        window_size: side S of the square input window, pixels; 0 for what finds hands, which takes any picture.
        descriptor_size: K; 0 for what finds hands.
        transforms: kind -> its range, e.g. ``{"shift": {"radius_px": 8}}``; empty for an ordinary auto-encoder.
        preprocessing: how a camera frame becomes the input, e.g. ``{"metric_size_m": 0.3, "range_m": 0.3}``.
        training: data id, command, seed, settings: how to make this model again.
        measures: figures measured on held-out data, named as in the documentation.
        prototype_names: the label of each row of ``prototypes.npy``; empty when it has none.
        prototype_radius: a descriptor farther than this from every prototype has no label.
        files: name -> sha256 of every other file of the folder but the card; set when saved.
    """

    model_id: str
    network: Mapping[str, Any]
    channels: tuple[str, ...]
    kind: str = AUTOENCODER
    window_size: int = 0
    descriptor_size: int = 0
    transforms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    prototype_names: tuple[str, ...] = ()
    prototype_radius: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _check_version(self.format_version)
        if self.kind not in KINDS:
            raise ModelError(f"kind is {self.kind!r}; accepted are {', '.join(KINDS)}")
        for name, (low, high) in _SIZES.items():
            value = getattr(self, name)
            if self.kind not in _OF_WINDOWS:
                low = high = 0
            if type(value) is not int or not low <= value <= high:
                raise ModelError(f"{name} is {value!r}; accepted is a whole number from {low} to {high}")
        if not 1 <= len(self.channels) <= 16 or not all(isinstance(c, str) and c for c in self.channels):
            raise ModelError(f"channels is {self.channels!r}; accepted are 1 to 16 names")
        check_preprocessing(self.preprocessing)

    @property
    def shift_radius(self) -> int:
        """The largest shift the model was trained to ignore, window pixels; 0 for an ordinary auto-encoder."""
        return int(self.transforms.get("shift", {}).get("radius_px", 0))

    @property
    def network_name(self) -> str:
        """The network's name alone."""
        return str(self.network.get("name", "unnamed"))

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Parse and check ``manifest.json``; raises ModelError that names the field."""
        try:
            fields = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"not valid JSON ({error}); copy the model folder again") from None
        if not isinstance(fields, dict):
            raise ModelError("not a JSON object; copy the model folder again")
        _check_version(fields.get("format_version"))  # first: another version may have other fields
        known = {f.name: f for f in dataclasses.fields(Manifest)}
        for name in fields:
            if name not in known:
                raise ModelError(f"unknown field {name!r}; known are {', '.join(known)}")
        for name in known:
            if name not in fields:
                raise ModelError(f"field {name!r} is missing")
            if not _fits(name, fields[name]):
                raise ModelError(f"field {name!r} is {_short(fields[name])}, which is not of its kind")
        for name in ("channels", "prototype_names"):
            fields[name] = tuple(fields[name])
        return Manifest(**fields)


def check_preprocessing(preprocessing: Mapping[str, Any]) -> None:
    """Raise ModelError for what cannot be how a frame became a window, or cannot be written down."""
    for name, value in preprocessing.items():
        if name in METRIC and not (_is_number(value) and value > 0):
            raise ModelError(f"preprocessing {name} is {_short(value)}; accepted is a number of metres above 0")
        if isinstance(value, float) and not _is_number(value):
            raise ModelError(f"preprocessing {name} is {value}; accepted are finite numbers, and text")


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _check_version(version: Any) -> None:
    if version == 1 and type(version) is int:
        raise ModelError(
            "format_version is 1, a folder of release 0.1; convert it: tiae export --run OLD_FOLDER --out NEW_FOLDER"
        )
    if version != FORMAT_VERSION or type(version) is not int:
        raise ModelError(
            f"format_version is {_short(version)}; this release reads {FORMAT_VERSION}; train the model again or "
            "install the release that wrote it"
        )


def _fits(name: str, value: Any) -> bool:
    """Whether a parsed JSON value is of the kind its field holds."""
    if name in ("model_id", "kind"):
        return isinstance(value, str) and value.isprintable()
    if name in ("channels", "prototype_names"):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name in ("window_size", "descriptor_size", "format_version"):
        return type(value) is int
    if name == "prototype_radius":
        return _is_number(value)
    if name == "measures":
        return isinstance(value, dict) and all(map(_is_number, value.values()))
    if name == "transforms":
        return isinstance(value, dict) and all(
            isinstance(ranges, dict) and all(map(_is_number, ranges.values())) for ranges in value.values()
        )
    if name == "files":
        return isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values())
    return isinstance(value, dict)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # a larger whole number is no float


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
