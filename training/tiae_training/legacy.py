"""Folders of release 0.1 (format_version 1): their networks by today's names, for `tiae export`."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from tiae_ros.errors import ModelError
from tiae_ros.model.folder import MANIFEST
from tiae_ros.model.manifest import Manifest
from tiae_training.model import TransformInvariantAutoencoder
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.segmentation import SegmentationNetwork

RELEASE = "0.1"
_OLD_WEIGHTS = "model.safetensors"
_OLD_SEGMENTATION = "tiae_segmentation"
_NAMES = {
    "voting-half": "standard",
    "voting-surface": "masks-and-depth",
    "voting-relief": "depth",
    "still": "static",
    "slide-fc": "slide-fc",
    "slide-cnn": "slide-cnn",
}
_SETTINGS = {"gathering_weight": "contrastive_weight", "gathering_temperature": "contrastive_temperature"}
_PARTS = (
    (r"^find_centre\.", "find_pose."),
    (r"^eyes\.", "trunk."),
    (r"^describe_straight\.", "linear_encoder."),
    (r"^expand_straight\.", "linear_decoder."),
    (r"^describe\.", "head."),
    (r"^correct\.", "pose_head."),
    (r"^expand\.", "decoder."),
)
_STATIC_PARTS = ((r"^describe\.0\.", "trunk.1."), (r"^describe\.1\.", "trunk.2."), (r"^describe\.3\.", "head."))


def is_legacy(folder: Path) -> bool:
    """Whether this is a folder of release 0.1."""
    try:
        return bool(json.loads((folder / MANIFEST).read_text("utf-8")).get("format_version") == 1)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def load_legacy(folder: Path) -> TransformInvariantAutoencoder | tuple[SegmentationNetwork, Manifest]:
    """The trained network of such a folder: an auto-encoder, or a segmentation with its manifest. Raises ModelError."""
    try:
        old: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        tensors = {name: t.float() if t.is_floating_point() else t for name, t in _tensors(folder).items()}
        return _segmentation(old, tensors) if old.get("format") == _OLD_SEGMENTATION else _autoencoder(old, tensors)
    except (OSError, SafetensorError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise ModelError(f"{folder} cannot be converted: {detail}; copy the model folder again") from None


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_tensors((folder / _OLD_WEIGHTS).read_bytes())
    return tensors


def _autoencoder(old: dict[str, Any], tensors: dict[str, torch.Tensor]) -> TransformInvariantAutoencoder:
    name = _NAMES.get(old["network"])
    if name is None:
        raise ModelError(f"network {old['network']!r} is no longer there; train again: tiae train --data FILE.npz …")
    kept: dict[str, Any] = {field: tuple(old[field]) for field in ("channels", "prototype_names")}
    manifest = Manifest(
        network=NETWORKS[name].to_dict(),
        training=renamed_training(old["training"]),
        **kept,
        **{
            field: old[field]
            for field in ("model_id", "window_size", "descriptor_size", "transforms", "preprocessing", "measures",
                          "prototype_radius")
        },
    )  # fmt: skip
    model = TransformInvariantAutoencoder(manifest)
    prototypes = tensors.pop("prototypes", None)
    parts = (*_STATIC_PARTS, *_PARTS) if name == "static" else _PARTS
    model.network.load_state_dict(
        {_renamed(key.removeprefix("network."), parts, name): t for key, t in tensors.items()}
    )
    if prototypes is not None and len(prototypes):
        model.prototypes = prototypes.numpy().astype(np.float32)
    return model.eval()


def _renamed(key: str, parts: tuple[tuple[str, str], ...], network: str) -> str:
    if network.startswith("slide"):
        return key
    for pattern, new in parts:
        renamed, count = re.subn(pattern, new, key)
        if count:
            return renamed
    return key


def renamed_training(training: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of the training, with today's names of its settings."""
    training = {**training, "release": RELEASE}
    settings = training.get("settings")
    if not isinstance(settings, dict):
        return training
    new = {_SETTINGS.get(key, key): value for key, value in settings.items()}
    new["network"] = _NAMES.get(new.get("network", ""), new.get("network", ""))
    return {**training, "settings": new}


def _segmentation(old: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[SegmentationNetwork, Manifest]:
    from tiae_training.segmentation.folder import segmentation_manifest

    if old.get("second_look"):
        raise ModelError("a segmentation with a second look, which is no longer there; train again")
    network = SegmentationNetwork(old["widths"], old["blocks"])
    network.load_state_dict(tensors)
    manifest = segmentation_manifest(network, model_id=old["model_id"], training=renamed_training(old["training"]))
    return network.eval(), dataclasses.replace(manifest, measures=old["measures"])
