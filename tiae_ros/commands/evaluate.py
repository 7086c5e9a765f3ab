"""``tiae evaluate``: the measures of a model on an array file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "measure a model on FILE.npz"
DESCRIPTION = """Measure a model: dispersion, knn_accuracy, nmi, ari (with labels), restoration_error, shift_error.

Test windows are shown under random shifts. Neighbours for knn_accuracy come from --gallery; without it
four fifths of FILE.npz serve as gallery and one fifth as test. Several labelled files count as one: equal names
are one label."""
EXAMPLES = """  tiae evaluate --model runs/digits --data held_out.npz --gallery digits.npz
  tiae evaluate --model models/hands --data windows.npz --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    several: dict[str, Any] = {"type": Path, "nargs": "+", "metavar": "FILE.npz"}
    parser.add_argument("--data", required=True, help="windows to measure on", **several)
    parser.add_argument("--gallery", help="labelled windows for knn_accuracy", **several)
    parser.add_argument("--shift-radius", type=int, default=None, help="random shifts of the test, pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the random shifts (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.commands.progress import at_work, print_json
    from tiae_ros.errors import DataError, ParameterError
    from tiae_ros.model.autoencoder import load_model
    from tiae_training.data.arrays import split
    from tiae_training.measures import measure_model
    from tiae_training.naming import load_together, numbered_alike

    if arguments.shift_radius is not None and not 0 <= arguments.shift_radius <= 64:
        raise ParameterError(f"--shift-radius is {arguments.shift_radius}; accepted is 0 to 64 pixels")
    if arguments.seed < 0:
        raise ParameterError(f"--seed is {arguments.seed}; accepted is 0 or more")
    at_work("reading the model and the windows")
    model = load_model(arguments.model, arguments.device)
    test = load_together(arguments.data, at_least=2)
    gallery = load_together(arguments.gallery) if arguments.gallery else None
    if gallery is not None and gallery.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"--gallery holds windows {gallery.images.shape[1:]}, --data {test.images.shape[1:]}; they must be alike"
        )
    if gallery is not None and (gallery.labels is None or test.labels is None):
        unlabelled = arguments.gallery if gallery.labels is None else arguments.data
        raise DataError(
            f"{unlabelled[0]} has no labels, without which there is no knn_accuracy; leave --gallery out, or give "
            "labelled files"
        )
    if gallery is not None:
        gallery = numbered_alike(gallery, test)
    if gallery is None and test.labels is not None and len(test) >= 10:
        gallery, test = split(test, 0.2, arguments.seed)
    at_work(f"measuring {len(test)} windows")
    measures = measure_model(model, test, gallery, shift_radius_px=arguments.shift_radius, seed=arguments.seed)
    if arguments.json:
        # What cannot be said (all windows blank, all descriptors equal) is null: JSON has no NaN.
        print_json({"model": model.manifest.model_id, "windows": len(test), **measures})
    else:
        print(f"{model.manifest.model_id} on {len(test)} windows")
        for name, value in measures.items():
            print(f"  {name:22s} {value:.4f}")
    return 0
