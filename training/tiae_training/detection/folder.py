"""Hand detectors from and into model folders, and their graphs in whole numbers of 8 bits (`eight_bits`)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiae_ros.errors import ModelError
from tiae_ros.model.folder import (
    CLOSE_UP,
    CLOSE_UP_INT8,
    PROPOSALS,
    PROPOSALS_INT8,
    WEIGHTS,
    ModelFolder,
    read_folder,
    write_folder,
)
from tiae_ros.model.hand_detector import CALIBRATION
from tiae_ros.model.manifest import DETECTOR, Manifest
from tiae_ros.model.shipped import find_model
from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.detector import Calibration
from tiae_ros.vision.labels import Floats
from tiae_training.card import write_card
from tiae_training.eight_bits import eight_bit_graph
from tiae_training.export import check_export, export_graph
from tiae_training.model import load_weights, round_weights, weights_of

from .networks import Detector, detector_of

CHANNELS = ("red", "green", "blue", "depth")


def detector_manifest(
    detector: Detector,
    *,
    model_id: str = "detector",
    calibration: tuple[float, ...] = Calibration(),
    training: Mapping[str, Any] | None = None,
    measures: Mapping[str, float] | None = None,
) -> Manifest:
    """What such a model says of itself."""
    return Manifest(
        model_id=model_id,
        kind=DETECTOR,
        network=detector.parts,
        channels=CHANNELS,
        preprocessing={CALIBRATION: list(calibration), "grid": proposals.GRID, "crop_m": close_up.SIDE_M},
        training=training or {},
        measures=measures or {},
    )


def load_detector(folder: str | os.PathLike[str]) -> tuple[Detector, Manifest]:
    """Both networks as they were trained, to go on training from. Raises ModelError."""
    content = read_folder(find_model(folder), DETECTOR)
    detector = detector_of(content.manifest.network)
    load_weights(detector, content)
    return detector.eval(), content.manifest


def save_detector(
    detector: Detector,
    folder: Path,
    manifest: Manifest,
    examples: Mapping[str, Iterable[Floats]] | None = None,
    *,
    int8: Mapping[str, bytes] | None = None,
    rounded: bool = True,
) -> Manifest:
    """Write the model folder and its card; with examples of the planes of each graph also the graphs in 8 bits.

    Raises OutputError, MissingExtraError, or ModelError where engine and torch differ.

    examples: file -> planes (1, …) as the networks see them. int8: graphs in 8 bits that these weights have already.
    rounded: kernels are rounded, which halves the files and moves probabilities by thousandths.
    """
    detector = detector.cpu().eval()
    if rounded:
        round_weights(detector)
    files = {name: export_graph(network, *_example(name)) for name, network in detector.graphs().items()}
    files[WEIGHTS] = weights_of(detector)
    for name, target in ((PROPOSALS, PROPOSALS_INT8), (CLOSE_UP, CLOSE_UP_INT8)):
        if examples is not None:
            files[target] = eight_bit_graph(files[name], iter(examples[name]))
        elif int8 is not None and target in int8:
            files[target] = int8[target]
    check_export(ModelFolder(folder, manifest, files), detector.graphs(), _inputs_of)
    manifest = write_folder(folder, manifest, files)
    write_card(manifest, folder)
    return manifest


def with_facts(
    folder: Path, *, measures: Mapping[str, float] | None = None, calibration: tuple[float, ...] | None = None
) -> Manifest:
    """Put measured figures, or the calibration of the confidence, into a saved model."""
    content = read_folder(folder, DETECTOR)
    manifest = content.manifest
    if measures is not None:
        manifest = dataclasses.replace(manifest, measures=measures)
    if calibration is not None:
        manifest = dataclasses.replace(
            manifest, preprocessing={**manifest.preprocessing, CALIBRATION: list(calibration)}
        )
    manifest = write_folder(folder, manifest, content.files)
    write_card(manifest, folder)
    return manifest


def graph_of(folder: ModelFolder, file: str) -> nn.Module:
    """What a graph of a folder was exported from. Raises ModelError."""
    detector = detector_of(folder.manifest.network)
    load_weights(detector, folder)
    graphs = detector.graphs()
    if file not in graphs:
        raise ModelError(f"{file} has no torch network; accepted are {', '.join(graphs)}")
    return graphs[file]


def _inputs_of(name: str, count: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    if name == PROPOSALS:
        shape = (1, proposals.PLANES, 2 * proposals.PAD, (2 + count) * proposals.PAD)
    else:
        shape = (count, close_up.PLANES, close_up.CELLS, close_up.CELLS)
    return (0.5 * torch.randn(*shape, generator=generator),)


def _example(name: str) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Inputs to export by, and which of their sizes stay free."""
    if name == PROPOSALS:
        rows, columns = torch.export.Dim("rows", min=1, max=256), torch.export.Dim("columns", min=1, max=256)
        planes = torch.rand(2, proposals.PLANES, 2 * proposals.PAD, 3 * proposals.PAD)
        return (planes,), ({0: torch.export.Dim("batch"), 2: proposals.PAD * rows, 3: proposals.PAD * columns},)
    return (torch.rand(2, close_up.PLANES, close_up.CELLS, close_up.CELLS),), ({0: torch.export.Dim("batch")},)
