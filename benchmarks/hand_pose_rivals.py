"""What a hand pose model should see: the same training on hands in detail, on the descriptor, and rivals.

    python benchmarks/hand_pose_rivals.py --data world_both.npz --test world_test_both.npz --held-out ball,phone,key

detail, descriptor     as `tiae train hand_pose --sees`
window                 a CNN on the same windows, with nothing of the auto-encoder
centroid-pca           as `descriptor`, of windows moved to their centroid and as many principal components

Degrees, mean over the 21 joints of the fingers, and millimetres of fingertips, of people who are in no --data, under
random shifts of ±8 pixels; medians over --seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tiae_ros.model.hand_pose import SHAPES, HandPoseEstimate
from tiae_ros.model.shifts import draw_shifts
from tiae_training.baselines import Baseline, fit_baseline
from tiae_training.data.arrays import ImageArrays
from tiae_training.imitation.evaluation import errors, groups
from tiae_training.imitation.networks import graph_of
from tiae_training.imitation.rows import HandRows, load_hand_rows
from tiae_training.imitation.settings import SEES, HandPoseTraining
from tiae_training.imitation.training import see, train_hand_pose
from tiae_training.model import load_network

RADIUS_PX = 8
METHODS = (*SEES, "centroid-pca")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE.npz")
    parser.add_argument(
        "--test", type=Path, nargs="+", required=True, metavar="FILE.npz", help="each is measured apart"
    )
    parser.add_argument("--held-out", default="", metavar="NAMES")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--epochs", type=int, default=HandPoseTraining.epochs)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    autoencoder: Any = load_network(options.model)
    held_out = [name for name in options.held_out.split(",") if name]
    rows = load_hand_rows(options.data, autoencoder.manifest)
    rows = rows.take(~np.isin(rows.kinds, held_out))
    tests = {path.name: load_hand_rows([path], autoencoder.manifest) for path in options.test}
    for method in options.methods:
        found: list[dict[str, float]] = []
        for seed in range(options.seeds):
            seen_by = autoencoder
            if method == "centroid-pca":
                arrays = ImageArrays(rows.images, channels=autoencoder.manifest.channels)
                size = autoencoder.manifest.descriptor_size
                baseline = fit_baseline(method, arrays, descriptor_size=size, radius_px=RADIUS_PX, seed=seed)
                seen_by = _as_autoencoder(baseline, autoencoder.manifest)
            sees = method if method in SEES else "descriptor"
            settings = HandPoseTraining(sees=sees, epochs=options.epochs, seed=seed)
            network = train_hand_pose(seen_by, rows, None, settings, say=lambda line: None)
            found.append({})
            for name, test in tests.items():
                found[-1] |= _measured(network, seen_by, test, held_out, name)
        for row in found[0]:
            values = np.median([[float(v) for v in one[row]] for one in found], 0)  # type: ignore[attr-defined]
            print(f"{method:13s} {row:36s} " + "".join(f"{value:8.2f}" for value in values), flush=True)
    return 0


def _measured(network: Any, seen_by: Any, test: HandRows, held_out: list[str], name: str) -> dict[str, Any]:
    """Joints and flexion in degrees, fingertips in millimetres; of all windows and of each group."""
    shifts = draw_shifts(len(test), RADIUS_PX, np.random.RandomState(0))
    shown = (torch.from_numpy(values).split(256) for values in (test.images, test.details, shifts))
    with torch.inference_mode():
        said = [graph_of(network)(*see(seen_by, *part).of(network)) for part in zip(*shown, strict=True)]
    parts = {key: torch.cat(column).numpy() for key, column in zip(SHAPES, zip(*said, strict=True), strict=True)}
    measured = {}
    for group, chosen in {"all": np.ones(len(test), bool), **groups(test, held_out)}.items():
        if chosen.any():
            some = {key: values[chosen] for key, values in parts.items()}
            found = errors(HandPoseEstimate(**some, known=some["novelty"] <= 0), test.take(chosen))
            measured[f"{name} {group}"] = [found["joints_deg"], found["flexion_deg"], found["tips_mm"]]
    return measured


def _as_autoencoder(baseline: Baseline, manifest: Any) -> Any:
    def forward_encoder(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = baseline.describe(images)
        return found.descriptors, found.poses[:, :2]

    return SimpleNamespace(manifest=manifest, network=SimpleNamespace(forward_encoder=forward_encoder))


if __name__ == "__main__":
    raise SystemExit(main())
