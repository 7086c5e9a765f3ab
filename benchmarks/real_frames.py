"""Segmentation and windows on real RGB-D frames: a figure per frame and in total.

    python benchmarks/real_frames.py [--frames DIR] [--pictures DIR] [--json]

DIR holds triples NAME_color.jpg (or .png), NAME_depth_mm.png (16 bit, 0 = nothing) and NAME_label.png
(0 none, 1 hand, 2 object, anything else is background). Without it, ../shared/data/real_rgbd_desk beside the
repository is taken: 12 frames of a hand that pours from a bottle (CC BY 4.0, see the notice there).

hand, object   intersection over union with the labels ("-": the label holds no such pixel)
inside         the first window's centre lies on the labelled hand or object
ms             segmentation, processor time of one thread
"""

from __future__ import annotations

import argparse
import json
import sys
import time
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


def measure(path: Path, focal_px: float, pictures: Path | None = None) -> dict[str, object]:
    """The figures of one frame."""
    rgb, depth, labels = load_frame(path)
    segment(rgb, depth, focal_px=focal_px)
    start = time.thread_time()
    found = segment(rgb, depth, focal_px=focal_px)
    milliseconds = (time.thread_time() - start) * 1e3
    windows = find_windows(found, depth, focal_px)
    inside, finite = False, True
    if windows:
        row, column = round(windows[0].center_y), round(windows[0].center_x)
        if 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]:
            inside = bool(labels[row, column] in (1, 2))
        contents = (cut_masks(found, windows[0]), cut_depth(depth, found, windows[0]))
        finite = all(bool(np.isfinite(content).all()) for content in contents)
    if pictures is not None:
        _draw(pictures / f"{path.stem}.png", rgb, found, labels, windows)
    return {
        "frame": path.stem.removesuffix("_color"),
        "hand_iou": _iou(found == 1, labels == 1),
        "object_iou": _iou(found == 2, labels == 2),
        "inside": inside,
        "windows": len(windows),
        "finite": finite,
        "ms": round(milliseconds, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, default=FRAMES, metavar="DIR")
    parser.add_argument("--focal-px", type=float, default=FOCAL_PX, metavar="PX")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw what was found")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    names = frame_names(arguments.frames)
    if not names:
        print(f"skipped: no frames (NAME_color.jpg, NAME_depth_mm.png, NAME_label.png) in {arguments.frames}")
        return 0
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    rows = [measure(path, arguments.focal_px, arguments.pictures) for path in names]
    total = {
        "frames": len(rows),
        "inside": sum(bool(row["inside"]) for row in rows),
        "hand_iou": _mean(row["hand_iou"] for row in rows),
        "object_iou": _mean(row["object_iou"] for row in rows),
        "finite": all(row["finite"] for row in rows),
        "ms": round(float(np.median([row["ms"] for row in rows])), 2),
    }
    if arguments.json:
        print(json.dumps({"rows": rows, "total": total}))
        return 0
    print(f"{'frame':>12}  hand  object  inside  windows     ms")
    for row in rows:
        print(
            f"{row['frame']:>12}  {_figure(row['hand_iou'])}    {_figure(row['object_iou'])}  "
            f"{'yes' if row['inside'] else 'NO':>6}  {row['windows']:>7}  {row['ms']:>5}"
        )
    print(
        f"{'total':>12}  {_figure(total['hand_iou'])}    {_figure(total['object_iou'])}  "
        f"{total['inside']:>3}/{total['frames']}  {'':>6}  {total['ms']:>5}"
        + ("" if total["finite"] else "  NOT FINITE")
    )
    return 0


def _beside(color: Path, kind: str) -> Path:
    return color.with_name(color.stem.removesuffix("_color") + f"_{kind}.png")


def _iou(found: np.ndarray, true: np.ndarray) -> float | None:
    return round(float((found & true).sum() / (found | true).sum()), 3) if true.any() else None


def _mean(values: object) -> float | None:
    known = [value for value in values if value is not None]  # type: ignore[attr-defined]
    return round(float(np.mean(known)), 3) if known else None


def _figure(value: object) -> str:
    return "   -" if value is None else f"{value:.2f}"


def _draw(path: Path, rgb: np.ndarray, found: np.ndarray, labels: np.ndarray, windows: list) -> None:
    """Found labels as tints (hand red, object blue), true outlines green, windows yellow."""
    picture = rgb[:, :, ::-1].copy()
    for label, tint in ((1, (0, 0, 255)), (2, (255, 0, 0))):
        picture[found == label] = picture[found == label] // 2 + np.array(tint, np.uint8) // 2
    known = np.where(labels <= 2, labels, 0).astype(np.uint8)
    picture[cv2.morphologyEx(known, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = (0, 255, 0)
    for window in windows:
        corners = [
            (round(window.center_x + sign * window.side_px / 2), round(window.center_y + sign * window.side_px / 2))
            for sign in (-1, 1)
        ]
        cv2.rectangle(picture, corners[0], corners[1], (0, 255, 255), 2)
        cv2.circle(picture, (round(window.center_x), round(window.center_y)), 4, (0, 255, 255), -1)
    cv2.imwrite(str(path), picture)


if __name__ == "__main__":
    sys.exit(main())
