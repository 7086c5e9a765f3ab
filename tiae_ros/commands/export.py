"""``tiae export``: a training run, or a folder of an earlier release, -> a model folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

HELP = "write a model folder from a training run, and check it"
DESCRIPTION = """Write a model folder that runs without torch (ONNX) from the trained weights of a run, and check that
both give the same, to 1e-4. `tiae train` does so at its end; this does it again, or for a folder of an earlier release,
whose weights and figures stay as they are. A segmentation network gets its graph in 8 bits from --calibrate."""
EXAMPLES = """  tiae export --run runs/digits --out models/digits
  tiae export --run old_model --out new_model                    # a folder of release 0.1
  tiae export --run runs/segmentation --out models/mine --calibrate frames.npz --test held_out.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run", dest="source", type=Path, required=True, metavar="DIR", help="a folder with trained weights"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="folder to write")
    parser.add_argument(
        "--calibrate", type=Path, nargs="+", metavar="FRAMES.npz", help="frames for the 8-bit graph of a segmentation"
    )
    parser.add_argument(
        "--test", type=Path, nargs="+", metavar="FRAMES.npz", help="held-out frames to measure a segmentation on"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.errors import ParameterError
    from tiae_ros.model.folder import MANIFEST, read_folder
    from tiae_ros.model.manifest import AUTOENCODER
    from tiae_training.data.arrays import refuse_existing
    from tiae_training.export import check_export, graphs_of, save_model
    from tiae_training.legacy import is_legacy, load_legacy
    from tiae_training.model import TransformInvariantAutoencoder, network_of
    from tiae_training.segmentation.folder import (
        load_segmentation_network,
        measures_of,
        save_segmentation,
        with_measures,
    )
    from tiae_training.segmentation.frames import load_frames

    refuse_existing(arguments.out / MANIFEST, overwrite=arguments.overwrite)
    if is_legacy(arguments.source):
        trained = load_legacy(arguments.source)
    else:
        content = read_folder(arguments.source)
        is_autoencoder = content.manifest.kind == AUTOENCODER
        trained = network_of(content) if is_autoencoder else load_segmentation_network(arguments.source)
    if isinstance(trained, TransformInvariantAutoencoder):
        if arguments.calibrate or arguments.test:
            raise ParameterError(f"--calibrate and --test are for segmentations; {arguments.source} is an auto-encoder")
        save_model(trained, arguments.out)
        apart = check_export(read_folder(arguments.out), graphs_of(trained), trained)
        print(f"{arguments.out}: engine and torch differ by at most {max(apart.values()):.1e}")
        return 0
    network, manifest = trained
    frames = load_frames(arguments.calibrate) if arguments.calibrate else None
    if frames is not None:
        words = " ".join(path.name for path in arguments.calibrate)
        training = {**manifest.training, "calibration": f"tiae export --calibrate {words}"}
        manifest = dataclasses.replace(manifest, training=training)
    manifest = save_segmentation(network, arguments.out, manifest, frames)
    if arguments.test:
        with_measures(arguments.out, measures_of(arguments.out, load_frames(arguments.test)))
    print(f"{arguments.out}: {', '.join(manifest.files)}")
    return 0
