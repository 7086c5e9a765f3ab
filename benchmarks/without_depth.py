"""What is left without depth: masks and names by the colour of skin alone, against those with depth.

    python benchmarks/without_depth.py --every 3

On a recorded bag with known labels and grasps (test/data): the overlap of the hand's mask with the true one, how far
the window lies from that with depth, and how many names of the first grasp are right with and without it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tiae_ros import Perception
from tiae_ros.streams.bags import Bag
from tiae_ros.vision.labels import HAND

DATA = Path(__file__).resolve().parents[1] / "test" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3, help="take every so many frames")
    every = parser.parse_args().every
    truth = np.load(DATA / "grasps_truth.npz")
    perception = Perception()
    overlaps, offsets, scales = [], [], []
    right = {"with depth": 0, "without depth": 0}
    with Bag(DATA / "grasps") as bag:
        for number, frame in enumerate(bag.rgbd_frames()):
            if number % every:
                continue
            looks = {
                "with depth": perception.look(frame.color, frame.depth_m, frame.k),
                "without depth": perception.look(frame.color),
            }
            for how, result in looks.items():
                right[how] += bool(result.names) and result.names[0] == truth["grasp"][number]
            true, seen = truth["labels"][number] == HAND, looks["without depth"].labels == HAND
            overlaps.append((true & seen).sum() / max(1, (true | seen).sum()))
            first, other = looks.values()
            if first.windows and other.windows:
                offsets.append(np.hypot(*(other.shifts[0] - first.shifts[0])))
                scales.append(other.windows[0].side_px / first.windows[0].side_px)
    print(f"{len(overlaps)} frames")
    print(f"overlap of the hand without depth: median {np.median(overlaps):.2f}")
    print(f"window without depth: {np.median(offsets):.1f} px from that with it", end=", ")
    print(f"{np.median(scales):.2f} times its size")
    print("; ".join(f"names right {how}: {count}" for how, count in right.items()))


if __name__ == "__main__":
    main()
