"""Segmentation networks from and into model folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tiae_ros.model.folder import NETWORK, NETWORK_INT8, WEIGHTS, ModelFolder, read_folder, write_folder
from tiae_ros.model.manifest import SEGMENTATION, Manifest
from tiae_ros.model.segmenter import load_segmentation
from tiae_ros.model.shipped import find_model
from tiae_ros.vision.segmentation.planes import CHANNELS, INPUTS
from tiae_ros.vision.segmentation.settings import STRIDE
from tiae_training.card import write_card
from tiae_training.eight_bits import eight_bit_graph
from tiae_training.export import check_export, export_graph
from tiae_training.model import load_weights, round_weights, weights_of
from tiae_training.networks.segmentation import SegmentationNetwork, segmentation_network
from tiae_training.segmentation.evaluation import evaluate
from tiae_training.segmentation.frames import FrameArrays
from tiae_training.segmentation.quantization import eight_bit_looks
from tiae_training.segmentation.settings import SegmentationTraining


def segmentation_manifest(
    network: SegmentationNetwork,
    *,
    model_id: str = "segmentation",
    training: Mapping[str, Any] | None = None,
    measures: Mapping[str, float] | None = None,
) -> Manifest:
    """What such a model says of itself."""
    return Manifest(
        model_id=model_id,
        kind=SEGMENTATION,
        network=network.parts,
        channels=CHANNELS,
        preprocessing={"stride": STRIDE},
        training=training or {},
        measures=measures or {},
    )


def load_segmentation_network(folder: str | os.PathLike[str]) -> tuple[SegmentationNetwork, Manifest]:
    """A network as it was trained, to go on training from. Raises ModelError."""
    content = read_folder(find_model(folder), SEGMENTATION)
    network = segmentation_network(content.manifest.network)
    load_weights(network, content)
    return network.eval(), content.manifest


def save_segmentation(
    network: SegmentationNetwork,
    folder: Path,
    manifest: Manifest,
    calibration: FrameArrays | None = None,
    settings: SegmentationTraining | None = None,
    *,
    rounded: bool = True,
    int8: bytes | None = None,
) -> Manifest:
    """Write the model folder and its card; with frames to calibrate by, also the graph in 8 bits.

    Raises OutputError, MissingExtraError, or ModelError where engine and torch differ.

    rounded: kernels are rounded (`tiae_training.model.rounded`), which halves the file and moves probabilities by
    thousandths. int8: an 8-bit graph that these weights have already.
    """
    network = network.cpu().eval()
    if rounded:
        round_weights(network)
    graph = export_segmentation(network)
    files = {NETWORK: graph, WEIGHTS: weights_of(network)}
    if calibration is not None:
        int8 = eight_bit_graph(graph, eight_bit_looks(calibration, settings or SegmentationTraining()))
    if int8 is not None:
        files[NETWORK_INT8] = int8
    check_export(ModelFolder(folder, manifest, files), {NETWORK: network}, _example_planes)
    manifest = write_folder(folder, manifest, files)
    write_card(manifest, folder)
    return manifest


def _example_planes(_name: str, count: int) -> tuple[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(count, INPUTS, 2 * STRIDE, (2 + count) * STRIDE, generator=generator),)


def with_measures(folder: Path, measures: Mapping[str, float]) -> Manifest:
    """Put measured figures into a saved model's manifest and card."""
    content = read_folder(folder, SEGMENTATION)
    manifest = write_folder(folder, dataclasses.replace(content.manifest, measures=measures), content.files)
    write_card(manifest, folder)
    return manifest


def export_segmentation(network: SegmentationNetwork) -> bytes:
    """``network.onnx``: planes (N, 9, H, W) -> class scores (N, 3, H, W); H and W multiples of `STRIDE`."""
    rows, columns = torch.export.Dim("rows", min=1, max=256), torch.export.Dim("columns", min=1, max=256)
    free = {0: torch.export.Dim("batch"), 2: STRIDE * rows, 3: STRIDE * columns}
    return export_graph(network, (torch.rand(2, INPUTS, 2 * STRIDE, 3 * STRIDE),), (free,))


def measures_of(folder: Path, frames: FrameArrays) -> dict[str, float]:
    """IoU on held-out frames, in float32 and, where there is such a graph, in 8 bits; with colour and without."""
    has_int8 = NETWORK_INT8 in read_folder(folder).files
    return {
        f"{name}{kind}{suffix}": round(value, 4)
        for suffix, use_color in (("", True), ("_depth_only", False))
        for kind, precision in (("", "float32"), ("_int8", "int8"))
        if has_int8 or not kind
        for name, value in evaluate(load_segmentation(folder, precision=precision), frames, use_color=use_color).items()
    }
