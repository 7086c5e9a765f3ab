"""Does it help a descriptor of grasps to be trained with small rotations and scales, too?

    python benchmarks/turned_windows.py
    python benchmarks/turned_windows.py --data windows.npz --test others.npz --seeds 0 1 2
    python benchmarks/turned_windows.py --data windows.npz --test others.npz --models hands runs/hands   # no training
    python benchmarks/turned_windows.py --data windows.npz --test others.npz --models hands --angles 10 180

Trains on windows under shifts alone, and under shifts, rotations up to ±30° and scales up to 1.2, for as many epochs.
Prints, for windows of other people, 5-NN accuracy and dispersion under shifts (as the node sees them) and under shifts
and rotations up to ±30°, or other --angles (a camera held askew). Without --data, windows of two masks are rendered (a
few minutes).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tiae_ros import load_model
from tiae_ros.errors import TiaeError
from tiae_ros.model.autoencoder import Autoencoder
from tiae_training.data.arrays import ImageArrays, load_arrays
from tiae_training.measures import dispersion, knn_accuracy
from tiae_training.recipes.cut_off import masks
from tiae_training.recipes.recipe import Workplace
from tiae_training.train.run import train
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.ranges import Ranges

RADIUS, ANGLE, SCALE = 8, 30.0, 1.2
TRAINED: dict[str, dict[str, Any]] = {
    "shift": {"transforms": "shift"},
    "shift, ±30°, 1.2": {"transforms": "shift,rotation,scale", "rotation_deg": ANGLE, "scale_factor": SCALE},
}
MEASURES = ("knn_accuracy", "dispersion")
FEWEST = 5  # windows among which neighbours are looked up


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="windows to train on, with labels; also the gallery")
    parser.add_argument("--test", type=Path, help="windows of other people")
    parser.add_argument(
        "--models", nargs="+", metavar="MODEL", help="measure these; nothing is trained, so --epochs does nothing"
    )
    parser.add_argument("--angles", type=float, nargs="+", default=[ANGLE], help="largest angles seen, degrees")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    if (options.data is None) != (options.test is None):
        parser.error("--data and --test come together; accepted are both, or neither")

    if options.models and options.data is None:
        parser.error("--models was given without --data and --test; accepted are all three")
    try:
        if options.data is None:
            training, test = masks(Workplace(Path()))
        else:
            training, test = load_arrays(options.data), load_arrays(options.test)
        models = {name: load_model(name) for name in options.models or ()}
    except TiaeError as error:
        parser.error(str(error))
    if training.labels is None or test.labels is None or training.label_names != test.label_names:
        parser.error("--data and --test need labels of the same names: 5-NN accuracy is measured by them")
    if len(training) < FEWEST:
        parser.error(f"--data holds {len(training)} windows; needed are {FEWEST} or more")
    print(f"{'trained under':18} {'seen':20} " + " ".join(f"{name:>14}" for name in MEASURES))
    for name in models or TRAINED:
        rows: dict[str, list[tuple[float, ...]]] = {}
        for seed in options.seeds:
            model = models[name] if models else trained(training, options.epochs, seed, TRAINED[name])
            for angle in (0.0, *options.angles):
                seen = f"shifted, ±{angle:g}°" if angle else "shifted"
                rows.setdefault(seen, []).append(measured(model, training, test, angle, seed))
        for seen, found in rows.items():
            medians = (statistics.median(values) for values in zip(*found, strict=True))
            print(f"{name:18} {seen:20} " + " ".join(f"{value:14.4f}" for value in medians), flush=True)
    return 0


def trained(training: ImageArrays, epochs: int, seed: int, kinds: dict[str, Any]) -> Autoencoder:
    settings: dict[str, Any] = {"shift_radius_px": RADIUS, "descriptor_size": 96, "contrastive_weight": 4.0}
    with tempfile.TemporaryDirectory() as folder:
        train(training, TrainingSettings(**settings, **kinds, epochs=epochs, seed=seed), Path(folder))
        return load_model(folder)


def measured(
    model: Autoencoder, training: ImageArrays, test: ImageArrays, angle: float, seed: int
) -> tuple[float, float]:
    """5-NN accuracy, and dispersion between two views, turned by up to so many degrees; 0: shifted alone."""
    kinds = "shift,rotation" if angle else "shift"
    transform = build_transform(kinds, Ranges(shift_radius_px=RADIUS, rotation_deg=angle or ANGLE))
    generator = torch.Generator().manual_seed(seed + 11)

    def described(arrays: ImageArrays) -> torch.Tensor:
        images = torch.from_numpy(arrays.images)
        return torch.as_tensor(model.encode(transform.apply(images, transform.draw(len(images), generator))))

    gallery, two = described(training), torch.stack([described(test) for _ in range(2)])  # (2, N, K)
    assert training.labels is not None
    assert test.labels is not None
    accuracy = knn_accuracy(gallery.numpy(), training.labels, two[0].numpy(), test.labels)
    return accuracy, dispersion(two.numpy())


if __name__ == "__main__":
    sys.exit(main())
