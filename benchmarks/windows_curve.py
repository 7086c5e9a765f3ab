"""What a model reaches on other people and things, by how many windows of people it is trained on.

    python benchmarks/windows_curve.py --work runs/ship --model grasp --counts 0 1000 4000 --steps 1500

Each row goes on from the shipped model with so many windows of world_KIND.npz, drawn at random, and as many steps; 0 is
the shipped model itself. Measured on world_test_KIND.npz under random shifts of ±8 pixels.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tiae_ros import load_model
from tiae_ros.cli import main as tiae
from tiae_training.data.arrays import load_arrays, save_arrays
from tiae_training.measures import measure_model

KINDS = {"grasp": "masks", "hands": "both", "depth": "depth"}
BATCH = 64
MEASURES = ("dispersion", "shift_error", "hand_iou", "object_iou", "depth_error_mm", "knn_accuracy")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="with windows")
    parser.add_argument("--model", choices=KINDS, default="grasp")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1000, 4000])
    parser.add_argument("--steps", type=int, default=1500, help="of each training (1500)")
    parser.add_argument("--learning-rate", default="1e-3")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kind = KINDS[options.model]
    world, test = (load_arrays(options.work / f"{part}_{kind}.npz") for part in ("world", "world_test"))
    order = np.random.default_rng(options.seed).permutation(len(world))
    print("windows  " + "  ".join(f"{name:>14s}" for name in MEASURES))
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            model = _trained(options, Path(folder), world.take(order[:count])) if count else load_model(options.model)
        measured = measure_model(model, test, world, shift_radius_px=8, seed=options.seed)
        row = "  ".join(f"{measured[name]:14.4f}" if name in measured else 14 * " " for name in MEASURES)
        print(f"{min(count, len(world)):7d}  {row}", flush=True)
    return 0


def _trained(options: argparse.Namespace, folder: Path, windows):  # type: ignore[no-untyped-def]
    data = {"images": windows.images, "channels": np.array(windows.channels)}
    save_arrays(folder / "windows.npz", {**data, **({} if windows.clean is None else {"clean": windows.clean})})
    epochs = max(1, round(options.steps * BATCH / len(windows)))
    words = ["train", "--data", str(folder / "windows.npz"), "--start", options.model, "--out", str(folder / "model")]
    words += ["--epochs", str(epochs), "--learning-rate", options.learning_rate, "--seed", str(options.seed)]
    if code := tiae(words):
        raise SystemExit(code)
    return load_model(folder / "model")


if __name__ == "__main__":
    raise SystemExit(main())
