"""The slides' figure: a hand's depth, restored by PCA and by the model, and the robot hand that imitates by each.

    tiae simulate --out train.npz --count 6000 --seed 1 --subjects 0:1000 --channels both --workers 2
    tiae simulate --out test.npz --count 1000 --seed 2 --subjects 1000:1200 --channels both --workers 2
    python benchmarks/imitation_figure.py --train train.npz --test test.npz --out figure.png

Both have descriptors of one size, from the same windows, each moved at random by up to 8 pixels. From these the same
regressor (kernel ridge, the width of its kernel is the median distance) tells joints and fingertips, and the same
retargeting a robot hand's joints. Windows of left hands are turned into right ones, by what is true of them. The table
is of all test windows; the figure shows some at random, the true hand's imitation last.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from tiae_ros.imitation.hand_picture import HandPicture
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.model.autoencoder import load_model
from tiae_training.baselines import fit_baseline
from tiae_training.data.arrays import ImageArrays, load_arrays
from tiae_training.data.arrays import read_npz as read_all

TILE = 150
RIDGE = 0.03
MOST = 4000  # windows that the regressor keeps


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--train", type=Path, required=True, help="windows with joints and tips_mm")
    parser.add_argument("--test", type=Path, required=True, help="the same of other people")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--hand", default="shadow", help="the robot hand")
    parser.add_argument("--out", type=Path, default=Path("imitation_figure.png"))
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--radius", type=int, default=8, help="of the shifts, pixels")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    model = load_model(arguments.model)
    train, test = (
        Windows(path, model.manifest.channels, arguments.radius, rng) for path in (arguments.train, arguments.test)
    )
    size = model.manifest.descriptor_size
    pca = fit_baseline("pca", train.arrays, radius_px=arguments.radius, descriptor_size=size, seed=arguments.seed)
    ways = {f"PCA-{size}": pca, arguments.model: model}
    told = {name: regress(way.encode(train.images), train.truth, way.encode(test.images)) for name, way in ways.items()}
    print("| descriptor | joints, degrees (mean) | fingertips, mm (mean) |\n|---|---|---|")
    for name, values in told.items():
        joints, tips = parts(values - test.truth)
        print(f"| {name} | {np.degrees(np.abs(joints).mean()):.1f} | {np.linalg.norm(tips, axis=-1).mean():.1f} |")
    hand = load_hand(arguments.hand)
    retargeting, picture = Retargeting(hand), HandPicture(hand, TILE)
    chosen = rng.choice(len(test.images), arguments.rows, replace=False)
    seen = test.images[chosen]

    def robot(values: np.ndarray) -> np.ndarray:
        joints, tips = parts(values[None])
        retargeting.reset()
        return picture.draw(retargeting.retarget(tips[0], joints[0]))

    columns = [("depth", [depth(window) for window in seen])]
    for name, way in ways.items():
        placed = way.place(seen)
        columns.append((f"restored by {name}", [depth(window) for window in placed]))
        columns.append((f"robot by {name}", [robot(told[name][row]) for row in chosen]))
    columns.append(("robot by the truth", [robot(test.truth[row]) for row in chosen]))
    tiles = np.concatenate([np.concatenate(pictures) for _, pictures in columns], axis=1)
    head = np.full((24, tiles.shape[1], 3), 255, np.uint8)
    for number, (title, _) in enumerate(columns):
        cv2.putText(head, title, (number * TILE + 4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.imwrite(str(arguments.out), np.concatenate([head, tiles])[..., ::-1])
    print(arguments.out)


class Windows:
    """Windows (N, C, S, S), moved at random, and what is true of them (N, 25 + 15): joints, then fingertips."""

    def __init__(self, path: Path, channels: tuple[str, ...], radius: int, rng: np.random.Generator) -> None:
        self.arrays: ImageArrays = load_arrays(path).in_order(channels)
        kept = read_all(path)
        if "tips_mm" not in kept:
            raise SystemExit(f"{path} has no tips_mm; make windows by `tiae simulate`")
        images = self.arrays.images.copy()
        left = kept["left_hand"]
        images[left] = images[left][..., ::-1]
        for row in images:
            dx, dy = rng.integers(-radius, radius + 1, 2)
            row[:] = shifted(row, int(dx), int(dy))
        self.images = images
        self.truth = np.concatenate([kept["joints"], kept["tips_mm"].reshape(len(images), -1)], axis=1)


def shifted(window: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """(C, S, S) moved by whole pixels, zeros where nothing comes from."""
    size = window.shape[-1]
    moved = np.zeros_like(window)
    to_x, to_y = (slice(max(d, 0), size + min(d, 0)) for d in (dx, dy))
    from_x, from_y = (slice(max(-d, 0), size + min(-d, 0)) for d in (dx, dy))
    moved[:, to_y, to_x] = window[:, from_y, from_x]
    return moved


def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 40) -> joints (N, 25) radians, fingertips (N, 5, 3) millimetres."""
    return values[:, :25], values[:, 25:].reshape(len(values), 5, 3)


def regress(descriptors: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Kernel ridge regression with a Gaussian kernel."""
    known, mean = descriptors[:MOST].astype(float), truth[:MOST].mean(0)
    scale = known.std(0) + 1e-9
    known, asked = known / scale, asked / scale
    width = np.median(squared(known[:500], known[:500]))
    kernel = np.exp(-squared(known, known) / width)
    weights = np.linalg.solve(kernel + RIDGE * np.eye(len(known)), truth[:MOST] - mean)
    return np.exp(-squared(asked, known) / width) @ weights + mean


def squared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, K), (M, K) -> (N, M) squared distances."""
    return (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T


def depth(window: np.ndarray) -> np.ndarray:
    """The depth channel where a hand or thing is, near is warm."""
    there = window[:2].max(0) > 0.4
    values = np.clip(window[2], 0, 1)
    low, high = np.quantile(values[there], [0.02, 0.98]) if there.any() else (0.0, 1.0)
    near = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    painted = cv2.applyColorMap((40 + 215 * near).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    painted[~there] = 0
    return cv2.resize(painted, (TILE, TILE), interpolation=cv2.INTER_NEAREST)


if __name__ == "__main__":
    main()
