"""What a model says of itself: the manifest, checked field by field before anything is built from it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiae_ros.core.networks import NETWORKS
from tiae_ros.errors import ModelError

FORMAT_VERSION = 1
_LIMITS = {"window_size": (8, 256), "descriptor_size": (1, 4096)}


@dataclass(frozen=True)
class Manifest:
    """Everything about a model but its weights.

    Attributes:
        model_id: a name for people and diagnostics, e.g. ``grasp-20261123``.
        network: one of `tiae_ros.core.networks.NETWORKS`.
        channels: what each input channel means, e.g. ``("hand_mask", "object_mask")``.
        window_size: side S of the square input window, pixels.
        descriptor_size: K.
        transforms: kind -> its range, e.g. ``{"shift": {"radius_px": 8}}``; empty for an ordinary auto-encoder.
        preprocessing: how a camera frame becomes a window, e.g. ``{"metric_size_m": 0.3, "range_m": 0.3}``.
        training: data id, command, seed, settings: how to make this model again.
        measures: figures measured on held-out data, named as in the documentation.
        prototype_names: the label of each row of the weights' ``prototypes``; empty when it has none.
        prototype_radius: a descriptor farther than this from every prototype has no label.
        weights_sha256: of ``model.safetensors``; set when saved.
    """

    model_id: str
    network: str
    channels: tuple[str, ...]
    window_size: int
    descriptor_size: int
    transforms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    prototype_names: tuple[str, ...] = ()
    prototype_radius: float = 0.0
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ModelError(
                f"format_version is {self.format_version!r}; this release reads {FORMAT_VERSION}; "
                "train the model again or install the release that wrote it"
            )
        if self.network not in NETWORKS:
            raise ModelError(f"network is {self.network!r}; known networks are {', '.join(NETWORKS)}")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ModelError(f"{name} is {value!r}; accepted is a whole number from {low} to {high}")
        if not 1 <= len(self.channels) <= 16 or not all(isinstance(c, str) and c for c in self.channels):
            raise ModelError(f"channels is {self.channels!r}; accepted are 1 to 16 names")

    @property
    def shift_radius(self) -> int:
        """The largest shift the model was trained to ignore, window pixels; 0 for an ordinary auto-encoder."""
        return int(self.transforms.get("shift", {}).get("radius_px", 0))

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Parse and check ``manifest.json``; raises ModelError that names the field."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"not valid JSON ({error})") from None
        if not isinstance(fields, dict):
            raise ModelError("not a JSON object")
        version = fields.get("format_version")
        if version != FORMAT_VERSION:  # first: another version may have other fields
            raise ModelError(
                f"format_version is {version!r}; this release reads {FORMAT_VERSION}; "
                "train the model again or install the release that wrote it"
            )
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


def _fits(name: str, value: Any) -> bool:
    """Whether a parsed JSON value is of the kind its field holds."""
    if name in ("model_id", "network", "weights_sha256"):
        return isinstance(value, str)
    if name in ("channels", "prototype_names"):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name in ("window_size", "descriptor_size", "format_version"):
        return type(value) is int
    if name == "prototype_radius":
        return isinstance(value, (int, float)) and math.isfinite(value)
    if name == "transforms":
        return isinstance(value, dict) and all(
            isinstance(ranges, dict) and all(isinstance(v, (int, float)) and math.isfinite(v) for v in ranges.values())
            for ranges in value.values()
        )
    return isinstance(value, dict)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
