"""What the shipped hand pose model reaches on windows of people it has not seen: joints, fingertips, side, spread.

    python benchmarks/hand_pose.py desk_test.npz any_test.npz moving_test.npz free_test.npz hands_test.npz

Windows are those of `tiae simulate hands`, and with --details of `tiae simulate` (scripts/train_models makes them),
under random shifts of ±8 pixels; medians over three seeds. Degrees are the mean over the 21 joints of the fingers,
flexion is of those that close the hand, R² of all 21. Of fingers that touch the thumb, pinches found are the share that
are said to. `mean pose` is what the median of the file's own poses would be off.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tiae_ros import load_model
from tiae_ros.model.hand_pose import check_belongs, load_hand_pose
from tiae_ros.model.shifts import draw_shifts
from tiae_training.imitation.evaluation import errors, trust
from tiae_training.imitation.rows import FINGER_JOINTS, load_hand_rows
from tiae_training.imitation.seeing import estimates

RADIUS_PX, SEEDS = 8, (0, 1, 2)
COLUMNS = {
    "joints_deg": "joints", "flexion_deg": "flexion", "tips_mm": "fingertips", "r2": "R²", "left": "side right",
    "pinch_found": "pinches found", "spread_spearman": "spread's rank correlation", "known": "known",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windows", type=Path, nargs="+", metavar="FILE.npz")
    parser.add_argument("--model", default="hands", metavar="DIR")
    parser.add_argument("--hand-pose-model", default="hand_pose", metavar="DIR")
    options = parser.parse_args()
    model, pose = load_model(options.model), load_hand_pose(options.hand_pose_model)
    check_belongs(pose, model)
    names = ["windows", *COLUMNS.values(), "mean pose"]
    print(f"| {' | '.join(names)} |\n{len(names) * '|---'}|")
    for path in options.windows:
        rows = load_hand_rows([path], model.manifest)
        true = rows.joints[:, FINGER_JOINTS]
        found = []
        for seed in SEEDS:
            shifts = draw_shifts(len(rows), RADIUS_PX, np.random.RandomState(seed))
            said = estimates(pose, model, rows.images, rows.details, shifts)
            rest = np.square(said.joints[:, FINGER_JOINTS] - true).sum() / np.square(true - true.mean(0)).sum()
            found.append({**errors(said, rows), **trust(said, rows), "r2": 1 - float(rest)})
        cells = [f"{np.median([one[name] for one in found]):.2f}" for name in COLUMNS]
        mean_pose = np.degrees(np.abs(true - np.median(true, axis=0))).mean()
        print(f"| {path.name} | {' | '.join(cells)} | {mean_pose:.1f} |")


if __name__ == "__main__":
    main()
