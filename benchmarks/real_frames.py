"""Labelled frames of a real camera, and what our segmentation makes of one; `segmentation.py` prints the table.

A folder holds triples NAME_color.jpg (or .png), NAME_depth_mm.png (16 bit, 0 = nothing) and NAME_label.png
(0 none, 1 hand, 2 object, 3 a thing that nobody holds, anything else is background). The usual one is
../shared/data/real_rgbd_desk beside the repository: 12 frames of a hand that pours from a bottle (CC BY 4.0, see the
notice there). Nothing was trained on them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tiae_ros.vision.cut_windows import cut_depth, cut_masks
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.segmentation.classical import segment

FRAMES = Path(__file__).resolve().parents[2] / "shared" / "data" / "real_rgbd_desk"
FOCAL_PX = 345.0  # of those frames, at 640 x 360


def frame_names(folder: Path) -> list[Path]:
    """The colour pictures that have a depth and a label picture beside them."""
    colors = sorted([*folder.glob("*_color.jpg"), *folder.glob("*_color.png")])
    return [path for path in colors if _beside(path, "depth_mm").exists() and _beside(path, "label").exists()]


def load_frame(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb (H, W, 3), depth (H, W) metres with NaN for nothing, labels (H, W)."""
    rgb = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    millimetres = cv2.imread(str(_beside(path, "depth_mm")), cv2.IMREAD_UNCHANGED)
    depth = np.where(millimetres > 0, millimetres / 1000.0, np.nan).astype(np.float32)
    return rgb, depth, cv2.imread(str(_beside(path, "label")), cv2.IMREAD_UNCHANGED)


def measure(path: Path, focal_px: float) -> dict[str, object]:
    """What the classical segmentation makes of a frame: overlaps, and whether the first window lies on the hand."""
    rgb, depth, labels = load_frame(path)
    found = segment(rgb, depth, focal_px=focal_px)
    windows = find_windows(found, depth, focal_px)
    contents = [part for w in windows[:1] for part in (cut_masks(found, w), cut_depth(depth, found, w))]
    return {
        "frame": path.stem.removesuffix("_color"),
        "hand_iou": overlap(found == 1, labels == 1),
        "object_iou": overlap(found == 2, labels == 2),
        "inside": bool(windows) and on_grasp(labels, windows[0].center_x, windows[0].center_y),
        "finite": all(bool(np.isfinite(content).all()) for content in contents),
    }


def overlap(found: np.ndarray, true: np.ndarray) -> float | None:
    """Intersection over union; None where there is nothing to find."""
    return float((found & true).sum() / (found | true).sum()) if true.any() else None


def on_grasp(labels: np.ndarray, x: float, y: float) -> bool:
    """Whether that point is labelled hand or object."""
    row, column = round(y), round(x)
    return 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1] and bool(labels[row, column] in (1, 2))


def _beside(color: Path, kind: str) -> Path:
    return color.with_name(color.stem.removesuffix("_color") + f"_{kind}.png")
