"""Does the published shift follow the hand? Every frame of a bag is moved by known pixels and seen again.

    python benchmarks/bag_shift.py
    python benchmarks/bag_shift.py --bag MY_BAG --models models --shifts 8

Colour and depth are moved together by random whole pixels up to ±60 × ±40 at 640×480 (half of that at 320×240);
what comes in from outside is black and without reading. Prints how far the published shift's change is from the
known one. Runs the node's `Pipeline` without DDS, on its own segmentation; the same over DDS is
test/test_node_topics.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tiae_ros import load_model
from tiae_ros.node.frames import Frame
from tiae_ros.parameters import Settings
from tiae_ros.perception import FrameDropped, Pipeline
from tiae_ros.streams.bags import Bag

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=ROOT / "test" / "data" / "grasps")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder with hands/")
    parser.add_argument("--shifts", type=int, default=4, help="random shifts per frame")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    pipeline = Pipeline(load_model(options.models / "hands"), None)
    rng = np.random.default_rng(options.seed)
    errors_px, errors_window, changes = [], [], []
    frames = lost = 0
    with Bag(options.bag) as bag:
        for seen in bag.rgbd_frames():
            frames += 1
            width = seen.depth_m.shape[1]
            still = process(pipeline, seen.color, seen.depth_m, seen.k)
            for _ in range(options.shifts):
                limit = np.array([60, 40]) * width // 640
                shift = rng.integers(-limit, limit + 1)
                moved = process(pipeline, move(seen.color, shift, 0), move(seen.depth_m, shift, np.nan), seen.k)
                if still is None or moved is None:
                    lost += 1
                    continue
                error = np.abs(moved.shifts[0] - still.shifts[0] - shift)
                errors_px.append(error)
                errors_window.append(error * 32 / still.windows[0].side_px)
                between = np.linalg.norm(moved.descriptors[0] - still.descriptors[0])
                changes.append(between / np.linalg.norm(still.descriptors[0]))
    if not errors_px:
        print(f"no grasp was seen in the {frames} frames of {options.bag}", file=sys.stderr)
        return 1
    worst = np.max(errors_window, 1)
    print(f"{frames} frames, {len(errors_px)} moved pictures, {lost} without a window")
    print(
        f"error of the published shift, image pixels    median {np.median(errors_px):.3f}  max {np.max(errors_px):.2f}"
    )
    print(f"error of the published shift, window pixels   median {np.median(worst):.3f}  max {worst.max():.2f}")
    print(f"within 1 window pixel (target: all)           {np.mean(worst <= 1):.1%}")
    print(f"change of the descriptor, relative            median {np.median(changes):.4f}  max {np.max(changes):.3f}")
    return 0 if (worst <= 1).all() else 1


def process(pipeline: Pipeline, color: np.ndarray, depth_m: np.ndarray, k: np.ndarray | None):
    """The pipeline's result, or None when no grasp is seen."""
    height, width = depth_m.shape
    header = SimpleNamespace(frame_id="")
    info = None if k is None else SimpleNamespace(k=k.ravel(), width=width, height=height, header=header)
    frame = Frame(image(np.ascontiguousarray(color), "rgb8"), image(depth_m, "32FC1"), camera_info=info)
    try:
        result = pipeline.process(frame, Settings())
    except FrameDropped:
        return None
    return result if result.windows else None


def image(array: np.ndarray, encoding: str) -> SimpleNamespace:
    """Something with the fields of sensor_msgs/Image."""
    height, width = array.shape[:2]
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=""), encoding=encoding, height=height, width=width,
        step=array.strides[0], is_bigendian=0, data=array.tobytes(),
    )  # fmt: skip


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
