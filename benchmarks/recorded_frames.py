"""The frames that benchmarks show the node: those of a bag, at 640x480 as a camera would send them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tiae_ros.streams.bags import Bag

BAG = Path(__file__).resolve().parents[1] / "test" / "data" / "grasps"
SIZE = (640, 480)


def read_frames(bag: str | Path = BAG) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """rgb (480, 640, 3), depth in millimetres (480, 640) with 0 for nothing, camera matrix (3, 3)."""
    frames = []
    with Bag(bag) as recorded:
        for frame in recorded.rgbd_frames():
            rgb = cv2.resize(frame.color, SIZE, interpolation=cv2.INTER_LINEAR)
            millimetres = np.rint(np.nan_to_num(frame.depth_m) * 1000).astype(np.uint16)
            depth = cv2.resize(millimetres, SIZE, interpolation=cv2.INTER_NEAREST)
            scale = SIZE[0] / frame.color.shape[1]
            k = np.diag([scale, scale, 1.0]) @ np.asarray(frame.k, np.float64).reshape(3, 3)
            k[:2, 2] = (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2
            frames.append((rgb, depth, k))
    return frames
