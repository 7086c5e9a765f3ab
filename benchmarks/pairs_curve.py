"""The slides' curve: mean error of joint angles by the number of pairs of a window and its joints.

    tiae simulate --out pairs.npz --channels both --details --count 4000 --seed 31 --subjects 0:1000
    tiae simulate --out pairs_test.npz --channels both --details --count 1000 --seed 32 --subjects 1000:1200
    python benchmarks/pairs_curve.py --pairs pairs.npz --test pairs_test.npz

Known grasps, true masks, people to test on that are in no pair; every window lies under a random shift of ±8 pixels.
Numbers are degrees, mean over the 21 joints of the fingers, medians over seeds.

pca, centroid-pca, ordinary-ae   fitted to --unlabelled windows, or to all of --pairs without their joints
ours                             the auto-encoder's descriptor
ours + head                      and the hand pose model: pairs teach what is left of its error
cnn                              learns from the pairs alone, each under new shifts in every step

All but the CNN learn from pairs by the same kernel ridge regression (`tiae_ros.imitation.calibration`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tiae_ros import load_model
from tiae_ros.imitation.calibration import Belongs, fit_pairs, pair_features
from tiae_ros.model.hand_pose import check_belongs, load_hand_pose
from tiae_ros.model.shifts import draw_shifts, shift_images
from tiae_training.baselines import fit_baseline
from tiae_training.data.arrays import ImageArrays, load_arrays
from tiae_training.imitation.networks import HandPoseNetwork
from tiae_training.imitation.rows import FINGER_JOINTS, HandRows, load_hand_rows
from tiae_training.imitation.seeing import seen_by
from tiae_training.train.one_cycle import one_cycle
from tiae_training.transforms import shifts as torch_shifts

RADIUS_PX = 8
FITTED = ("pca", "centroid-pca", "ordinary-ae")
METHODS = (*FITTED, "ours", "ours + head", "cnn")
NOBODY = Belongs("", "", "", "", tuple(f"joint_{n}" for n in range(len(FINGER_JOINTS))))
Encode = Callable[[HandRows, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Windows under shifts (N, 2) -> features (N, F), and the joints (N, 21) that are known before any pair."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--test", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--unlabelled", type=Path, metavar="FILE.npz", help="for PCA and the ordinary AE (--pairs)")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--hand-pose-model", default="hand_pose")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 20, 50, 100, 500, 2000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cnn-steps", type=int, default=1500)
    parser.add_argument("--ae-epochs", type=int, help="of the ordinary auto-encoder (its own number)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    options = parser.parse_args()
    model = load_model(options.model, threads=1)
    pairs, test = (load_hand_rows([path], model.manifest) for path in (options.pairs, options.test))
    unlabelled = load_arrays(options.unlabelled or options.pairs).in_order(model.manifest.channels)
    print(f"{'pairs':12s}" + "".join(f"{count:>8d}" for count in (0, *options.counts)))
    curve: dict[str, list[float]] = {}
    for method in options.methods:
        rows = [_curve(method, options, model, unlabelled, pairs, test, seed) for seed in range(options.seeds)]
        curve[method] = [round(float(value), 2) for value in np.median(rows, 0)]
        print(f"{method:12s}" + "".join(f"{value:8.2f}" for value in curve[method]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"pairs": [0, *options.counts], **curve}, indent=1) + "\n")
    return 0


def _curve(method, options, model, unlabelled, pairs: HandRows, test: HandRows, seed: int) -> list[float]:  # type: ignore[no-untyped-def]
    """Errors without pairs (of the mean pose, or of the head), and with so many."""
    rng = np.random.RandomState(seed)
    order = rng.permutation(len(pairs))
    moved, shown = (draw_shifts(len(rows), RADIUS_PX, rng) for rows in (pairs, test))
    angles, truth = pairs.joints[:, FINGER_JOINTS], test.joints[:, FINGER_JOINTS]
    error = _error_deg(truth)
    if method == "cnn":
        seen = shift_images(test.images, shown)
        few = [error(_cnn(pairs.take(order[:count]), seen, options.cnn_steps, seed)) for count in options.counts]
        return [error(np.broadcast_to(angles.mean(0), truth.shape)), *few]
    encode = _encoder(method, options, model, unlabelled, angles.mean(0), seed)
    some = order[: max(options.counts)]
    (features, known), (of_test, known_of_test) = encode(pairs.take(some), moved[some]), encode(test, shown)
    errors = [error(known_of_test)]
    for count in options.counts:
        fit = fit_pairs(features[:count], known[:count], angles[order[:count]].astype(np.float64), NOBODY)
        errors.append(error(known_of_test + fit.map.correction(of_test)))
    return errors


def _encoder(method, options, model, unlabelled: ImageArrays, mean: np.ndarray, seed: int) -> Encode:  # type: ignore[no-untyped-def]
    def mean_pose(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features.astype(np.float64), np.tile(mean.astype(np.float64), (len(features), 1))

    if method == "ours":
        return lambda rows, shifts: mean_pose(model.encode(shift_images(rows.images, shifts)))
    if method in FITTED:
        epochs = options.ae_epochs if method == "ordinary-ae" else None
        size = model.manifest.descriptor_size
        baseline = fit_baseline(method, unlabelled, descriptor_size=size, radius_px=RADIUS_PX, epochs=epochs, seed=seed)
        return lambda rows, shifts: mean_pose(baseline.encode(shift_images(rows.images, shifts)))
    pose = load_hand_pose(options.hand_pose_model)
    check_belongs(pose, model)

    def with_head(rows: HandRows, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        said, descriptors = seen_by(pose, model, rows.images, rows.details, shifts)
        features = pair_features(said.joints, said.tips_mm, descriptors)
        return features, said.joints[:, FINGER_JOINTS].astype(np.float64)

    return with_head


def _cnn(pairs: HandRows, shown: np.ndarray, steps: int, seed: int, batch: int = 64) -> np.ndarray:
    """Joints (N, 21) that a network trained on these pairs alone says of windows."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    channels, size = pairs.images.shape[1], pairs.images.shape[-1]
    network = HandPoseNetwork("window", channels, size, 1, 128)
    images, joints = torch.from_numpy(pairs.images), torch.from_numpy(pairs.joints)
    mean, scale = joints.mean(0), joints.std(0).clamp_min(0.05)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = one_cycle(optimizer, 2e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (batch,), generator=generator)
        moved = torch_shifts.shift_images(images[rows], torch_shifts.draw_shifts(batch, RADIUS_PX, generator))
        loss = (network(moved)[0] - (joints[rows] - mean) / scale).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.inference_mode():
        said = [network(part)[0] * scale + mean for part in torch.from_numpy(shown).split(256)]
    return torch.cat(said).numpy()[:, FINGER_JOINTS]


def _error_deg(truth: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda said: float(np.degrees(np.abs(said - truth)).mean())


if __name__ == "__main__":
    raise SystemExit(main())
