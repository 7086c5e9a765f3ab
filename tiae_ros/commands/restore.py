"""``tiae restore``: descriptors, restored windows and shifts of an array file."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write descriptors, restored windows and shifts of FILE.npz"
DESCRIPTION = """Run a model over FILE.npz and write OUT.npz: descriptors (N, K), restored (N, C, H, W),
shifts (N, 2) in pixels (dx right, dy down: restored moved by it lies on the input). Of a model that finds poses also
angles (N,) in radians from x towards y, NaN unless sure, scales (N,), pose_confidence (N,), ambiguity (N,) (0 none,
1 half turn, 2 any), and mirrored (N,) where the model tells. Channels that FILE.npz names are given to the model by
name; those of restored are in the order of FILE.npz."""
EXAMPLES = """  tiae restore --model models/hands --data windows.npz --out restored.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.npz", help="windows to restore")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.npz", help="file to write")
    parser.add_argument("--compare", action="store_true", help="shifts by comparing, not by the regressor (slower)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a line")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.npz")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.commands.progress import at_work, print_json
    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.pattern_poses import pattern_poses
    from tiae_training.data.arrays import load_arrays, refuse_existing, save_arrays

    refuse_existing(arguments.out, overwrite=arguments.overwrite)
    at_work("reading the model and the windows")
    model = load_model(arguments.model, arguments.device)
    arrays = load_arrays(arguments.data, at_least=0)
    channels = model.manifest.channels
    images = arrays.in_order(channels).images
    at_work(f"restoring {len(images)} windows")
    described = model.describe(images)
    descriptors = described.descriptor
    named = set(arrays.channels) == set(channels)
    order = [channels.index(name) for name in arrays.channels] if named else list(range(len(channels)))
    results = {
        "descriptors": descriptors,
        "restored": model.decode(descriptors)[:, order],
        "shifts": model.estimate_shift(images, compare=True) if arguments.compare else described.parameters[:, :2],
    }
    if (poses := pattern_poses(described.parameters, described.angle_confidence)) is not None:
        results |= {"angles": poses.angles, "scales": poses.scales, "pose_confidence": poses.confidences}
        results |= {"ambiguity": poses.codes}
        results |= {} if poses.mirrored is None else {"mirrored": poses.mirrored}
    save_arrays(arguments.out, results, overwrite=arguments.overwrite)
    if arguments.json:
        print_json({"out": str(arguments.out), **{name: list(value.shape) for name, value in results.items()}})
        return 0
    print(f"{arguments.out}: " + ", ".join(f"{name} {value.shape}" for name, value in results.items()))
    return 0
