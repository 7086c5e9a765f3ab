"""Does the shift follow the hand? Every frame of a bag is moved by known pixels and seen again.

    python benchmarks/bag_shift.py
    python benchmarks/bag_shift.py --bag MY_BAG --model runs/mine --shifts 8

Colour and depth are moved together by random whole pixels up to ±60 × ±40 at 640×480 (half of that at 320×240);
what comes in from outside is black and without reading. Prints how far the change of the shift is from the known one.
Runs `Perception`; the same over DDS is test/node/test_topics.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tiae_ros import Perception
from tiae_ros.model.segmenter import METHODS
from tiae_ros.streams.bags import Bag

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=ROOT / "test" / "data" / "grasps")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--segmentation", choices=METHODS, default="auto")
    parser.add_argument("--shifts", type=int, default=4, help="random shifts per frame")
    parser.add_argument("--frames", type=int, default=10**6, help="frames looked at (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    perception = Perception(model=options.model, segmentation_method=options.segmentation, device="cpu")
    rng = np.random.default_rng(options.seed)
    errors_px, errors_window, changes = [], [], []
    frames = lost = 0
    with Bag(options.bag) as bag:
        for _, seen in zip(range(options.frames), bag.rgbd_frames(), strict=False):
            frames += 1
            limit = np.array([60, 40]) * seen.depth_m.shape[1] // 640
            still = perception.frame(seen.color, seen.depth_m, seen.k)
            for _ in range(options.shifts):
                shift = rng.integers(-limit, limit + 1)
                moved = perception.frame(move(seen.color, shift, 0), move(seen.depth_m, shift, np.nan), seen.k)
                if not still or not moved:
                    lost += 1
                    continue
                error = np.abs(np.subtract(moved[0].shift_px, still[0].shift_px) - shift)
                errors_px.append(error)
                errors_window.append(error.max() * 32 / still[0].window.side_px)
                between = np.linalg.norm(moved[0].descriptor - still[0].descriptor)
                changes.append(between / np.linalg.norm(still[0].descriptor))
    if not errors_px:
        print(f"no grasp was seen in the {frames} frames of {options.bag}", file=sys.stderr)
        return 1
    worst = np.array(errors_window)
    print(f"{frames} frames, {len(errors_px)} moved pictures, {lost} without a window")
    print(f"error of the shift, image pixels        median {np.median(errors_px):.3f}  max {np.max(errors_px):.2f}")
    print(f"error of the shift, window pixels       median {np.median(worst):.3f}  max {worst.max():.2f}")
    print(f"within 1 window pixel (wanted: all)     {np.mean(worst <= 1):.1%}")
    print(f"change of the descriptor, relative      median {np.median(changes):.4f}  max {np.max(changes):.3f}")
    return 0 if (worst <= 1).all() else 1


def move(picture: np.ndarray, shift: np.ndarray, outside: float) -> np.ndarray:
    """The picture moved by (dx right, dy down)."""
    dx, dy = map(int, shift)
    height, width = picture.shape[:2]
    moved = np.full_like(picture, outside)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = picture[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved


if __name__ == "__main__":
    sys.exit(main())
