"""``tiae export``: a training run, or a folder of an earlier release, -> a model folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tiae_ros.commands.progress import add_json, at_work, print_json

if TYPE_CHECKING:
    from tiae_ros.model.manifest import Manifest

HELP = "write a model folder from a training run, and check it"
DESCRIPTION = """Write a model folder that runs without torch (ONNX) from the trained weights of a run, and check that
both give the same, to 1e-4. `tiae train` does so at its end; this does it again, or for a folder of an earlier release,
whose weights and figures stay as they are. A segmentation network gets its graph in 8 bits from --calibrate."""
EXAMPLES = """  tiae export --run runs/digits --out models/digits
  tiae export --run old_model --out new_model                    # a folder of release 0.1
  tiae export --run runs/segmentation --out models/mine --calibrate frames.npz --test held_out.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="source", required=True, metavar="DIR", help="a folder with trained weights")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="folder to write")
    parser.add_argument(
        "--calibrate", type=Path, nargs="+", metavar="FRAMES.npz", help="frames for the 8-bit graph of a segmentation"
    )
    parser.add_argument(
        "--test", type=Path, nargs="+", metavar="FRAMES.npz", help="held-out frames to measure a segmentation on"
    )
    add_json(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.errors import ParameterError
    from tiae_ros.model.folder import MANIFEST, NETWORK_INT8, read_folder, read_manifest
    from tiae_ros.model.manifest import AUTOENCODER, DETECTOR, HAND_POSE
    from tiae_ros.model.shipped import find_model
    from tiae_training.data.arrays import refuse_existing
    from tiae_training.export import save_model
    from tiae_training.legacy import is_legacy, load_legacy
    from tiae_training.model import TransformInvariantAutoencoder, network_of
    from tiae_training.segmentation.folder import (
        load_segmentation_network,
        measures_of,
        save_segmentation,
        with_measures,
    )
    from tiae_training.segmentation.frames import load_frames

    at_work("exporting")
    refuse_existing(arguments.out / MANIFEST, overwrite=arguments.overwrite)
    source, int8 = find_model(arguments.source), None
    if not is_legacy(source) and read_manifest(source).kind == DETECTOR:
        return _export_detector(source, arguments)
    if not is_legacy(source) and read_manifest(source).kind == HAND_POSE:
        return _export_hand_pose(source, arguments)
    if is_legacy(source):
        trained = load_legacy(source)
    else:
        content = read_folder(source)
        int8 = content.files.get(NETWORK_INT8)
        is_autoencoder = content.manifest.kind == AUTOENCODER
        trained = network_of(content) if is_autoencoder else load_segmentation_network(source)
    if isinstance(trained, TransformInvariantAutoencoder):
        if arguments.calibrate or arguments.test:
            raise ParameterError(f"--calibrate and --test are for segmentations; {arguments.source} is an auto-encoder")
        written = save_model(trained, arguments.out)
        return _tell(arguments, written)
    network, manifest = trained
    test = load_frames(arguments.test) if arguments.test else None
    frames = load_frames(arguments.calibrate) if arguments.calibrate else None
    if frames is not None:
        words = " ".join(path.name for path in arguments.calibrate)
        training = {**manifest.training, "calibration": f"tiae export --calibrate {words}"}
        manifest = dataclasses.replace(manifest, training=training)
    if frames is not None or int8 is None:  # what was measured of another 8-bit graph, or of one that is gone
        measures = {name: value for name, value in manifest.measures.items() if "_int8" not in name}
        manifest = dataclasses.replace(manifest, measures=measures)
    manifest = save_segmentation(network, arguments.out, manifest, frames, rounded=False, int8=int8)
    if test is not None:
        with_measures(arguments.out, measures_of(arguments.out, test))
    return _tell(arguments, manifest)


def _tell(arguments: argparse.Namespace, written: Manifest) -> int:
    if arguments.json:
        print_json({"model": str(arguments.out), "files": list(written.files), "engine_and_torch_agree": True})
    else:
        print(f"{arguments.out}: {', '.join(written.files)}; engine and torch give the same")
    return 0


def _export_hand_pose(source: Path, arguments: argparse.Namespace) -> int:
    from tiae_training.imitation.folder import load_hand_pose_network, save_hand_pose

    network, manifest = load_hand_pose_network(source)
    return _tell(arguments, save_hand_pose(network, arguments.out, manifest))


def _export_detector(source: Path, arguments: argparse.Namespace) -> int:
    from tiae_ros.model.folder import read_folder
    from tiae_training.detection.folder import load_detector, save_detector

    detector, manifest = load_detector(source)
    written = save_detector(detector, arguments.out, manifest, int8=read_folder(source).files, rounded=False)
    return _tell(arguments, written)
