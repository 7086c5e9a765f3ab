"""Hand pose models into model folders, and out of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tiae_ros.model.folder import ENCODER, POSE, WEIGHTS, ModelFolder, read_folder, write_folder
from tiae_ros.model.hand_pose import AUTOENCODER_ID, ENCODER_SHA256, NOVELTY_MAX, SHAPES, input_shapes
from tiae_ros.model.manifest import HAND_POSE, Manifest
from tiae_ros.model.shipped import find_model
from tiae_training.card import write_card
from tiae_training.export import check_export, export_graph
from tiae_training.imitation.networks import HandPoseNetwork, fold_norms, graph_of, hand_pose_network
from tiae_training.model import load_weights, round_weights, weights_of


def hand_pose_manifest(
    network: HandPoseNetwork,
    autoencoder: Manifest,
    novelty_max: float,
    *,
    model_id: str = "hand_pose",
    training: Mapping[str, Any] | None = None,
) -> Manifest:
    """What such a model says of itself, and of the auto-encoder whose windows and descriptors it reads."""
    return Manifest(
        model_id=model_id,
        kind=HAND_POSE,
        network=network.parts(),
        channels=autoencoder.channels,
        window_size=autoencoder.window_size,
        descriptor_size=autoencoder.descriptor_size,
        preprocessing={
            **autoencoder.preprocessing,
            AUTOENCODER_ID: autoencoder.model_id,
            ENCODER_SHA256: autoencoder.files[ENCODER],
            NOVELTY_MAX: novelty_max,
        },
        training=training or {},
    )


def save_hand_pose(network: HandPoseNetwork, folder: Path, manifest: Manifest) -> Manifest:
    """Write the model folder and its card. Raises OutputError, MissingExtraError, or ModelError as `check_export`."""
    network = network.cpu().eval()
    fold_norms(network)
    round_weights(network)
    graph, shapes = graph_of(network), input_shapes(manifest)

    def inputs(_: str, count: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.rand(count, *shapes[name], generator=generator) for name in network.inputs)

    content = export_graph(graph, inputs(POSE, 2), names=(network.inputs, tuple(SHAPES)))
    files = {POSE: content, WEIGHTS: weights_of(network)}
    check_export(ModelFolder(folder, manifest, files), {POSE: graph}, inputs)
    manifest = write_folder(folder, manifest, files)
    write_card(manifest, folder)
    return manifest


def load_hand_pose_network(folder: str | os.PathLike[str]) -> tuple[HandPoseNetwork, Manifest]:
    """The network as it was trained. Raises ModelError."""
    content = read_folder(find_model(folder), HAND_POSE)
    return network_of(content), content.manifest


def network_of(content: ModelFolder) -> HandPoseNetwork:
    """The trained network of a folder that was read. Raises ModelError."""
    manifest = content.manifest
    network = hand_pose_network(
        manifest.network, len(manifest.channels), manifest.window_size, manifest.descriptor_size
    )
    fold_norms(network)
    load_weights(network, content)
    return network.eval()


def with_measures(folder: Path, measures: Mapping[str, float]) -> Manifest:
    """Put measured figures into a saved model."""
    content = read_folder(folder, HAND_POSE)
    manifest = write_folder(folder, dataclasses.replace(content.manifest, measures=measures), content.files)
    write_card(manifest, folder)
    return manifest
