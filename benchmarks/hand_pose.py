"""What the shipped hand pose model reaches on windows of people it has not seen: joints, fingertips, side, spread.

    python benchmarks/hand_pose.py desk_test.npz any_test.npz moving_test.npz free_test.npz hands_test.npz

Windows are those of `tiae simulate hands`, and with --details of `tiae simulate` (scripts/train_models makes them),
under random shifts of ±8 pixels; medians over three seeds. Degrees are the mean over the 21 joints of the fingers,
`mean pose` is what the median of the file's own poses would be off.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tiae_ros import load_model
from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.model.hand_pose import check_belongs, load_hand_pose
from tiae_ros.model.shifts import draw_shifts
from tiae_training.imitation.seeing import estimates, no_details

RADIUS_PX, SEEDS = 8, (0, 1, 2)
WITHOUT = ("wrist_flexion", "wrist_deviation", "ring_cmc_flexion", "little_cmc_flexion")  # wrist and palm
OF_FINGERS = [number for number, name in enumerate(JOINT_NAMES) if name not in WITHOUT]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windows", type=Path, nargs="+", metavar="FILE.npz")
    parser.add_argument("--model", default="hands", metavar="DIR")
    parser.add_argument("--hand-pose-model", default="hand_pose", metavar="DIR")
    options = parser.parse_args()
    model, pose = load_model(options.model), load_hand_pose(options.hand_pose_model)
    check_belongs(pose, model)
    print(
        "| windows | joints | fingertips | side right | spread's rank correlation | known | mean pose |\n"
        + 7 * "|---"
        + "|"
    )
    for path in options.windows:
        with np.load(path) as stored:
            truth = {name: stored[name] for name in ("images", "joints", "tips_mm", "left_hand")}
            truth["details"] = stored["details"] if "details" in stored else no_details(len(truth["images"]))
        images, joints = truth["images"].astype(np.float32) / 255, truth["joints"][:, OF_FINGERS]
        rows = []
        for seed in SEEDS:
            shifts = draw_shifts(len(images), RADIUS_PX, np.random.RandomState(seed))
            told = estimates(pose, model, images, truth["details"], shifts)
            off = np.degrees(np.abs(told.joints[:, OF_FINGERS] - joints)).mean(1)
            spread = told.joint_spread[:, OF_FINGERS].mean(1)
            tips = np.linalg.norm(told.tips_mm - truth["tips_mm"], axis=2).mean()
            side = ((told.left > 0.5) == truth["left_hand"]).mean()
            rows.append((off.mean(), tips, side, rank_correlation(spread, off), told.known.mean()))
        mean_pose = np.degrees(np.abs(joints - np.median(joints, axis=0))).mean()
        degrees, tips, side, rank, known = np.median(rows, axis=0)
        cells = (path.name, f"{degrees:.1f}°", f"{tips:.1f} mm", f"{side:.2f}", f"{rank:.2f}", f"{known:.2f}")
        print(f"| {' | '.join(cells)} | {mean_pose:.1f}° |")


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, of numbers without ties."""
    return float(np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1])


if __name__ == "__main__":
    main()
