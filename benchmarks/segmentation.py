"""Segmentation by the network and by the classical method: on renders, on the recorded bag, on camera frames.

    python benchmarks/segmentation.py --renders runs/ship/held_any.npz
    python benchmarks/segmentation.py --renders runs/ship/held_any.npz --certainty 0.01   # without that bound
    python benchmarks/segmentation.py --grid 128                                          # coarser, quicker
    python benchmarks/segmentation.py --precision float32                                 # not in 8 bits
    python benchmarks/segmentation.py --network runs/segmentation
    python benchmarks/segmentation.py --renders runs/ship/held_any.npz --docs     # the notebook's table

hand, object    intersection over union, mean over the frames whose labels have such pixels
pooled          the same over all pixels of all frames together
false, missed   share of frames without a hand that are given a window, and of those with one that get none
on hand         share of frames with a labelled hand whose first window's centre lies on labelled hand or object
beside          pixels of a thing that stands beside, labelled so, that are taken for a held one: of all frames together
moves           how far the first window's centre is from where it should be after the picture was moved by a few
                pixels, in pixels of the 32 x 32 window: median and 95th percentile
ms              processor time of one thread per frame, median

Renders come from `tiae simulate --channels frames --subjects 1000:1200` (scripts/train_models makes them); empty scenes
are rendered here: no hand, but things, tables, walls. Camera frames are those of real_frames.py. Of the bag every
third frame is looked at.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from real_frames import FOCAL_PX, FRAMES, frame_names, load_frame, on_grasp, overlap
from recipes import write_between

from tiae_ros.model.segmenter import PRECISIONS, load_segmentation
from tiae_ros.streams.bags import Bag
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.segmentation.classical import segment
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.window import Window
from tiae_training.simulator.frame_set import VARIED
from tiae_training.simulator.simulator import SimulatorSettings, render_scene

ROOT = Path(__file__).resolve().parent.parent
BESIDE = 3  # label of a thing that nobody holds; of rendered frames it is background
Frame = tuple[np.ndarray, np.ndarray, np.ndarray, float]  # rgb, depth in metres, labels, focal length
Method = Callable[..., np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--network", type=Path, default=ROOT / "models" / "segmentation", metavar="DIR", help="model folder"
    )
    parser.add_argument("--renders", type=Path, metavar="FRAMES.npz")
    parser.add_argument("--frames", type=Path, default=FRAMES, metavar="DIR", help="camera frames")
    parser.add_argument("--bag", type=Path, default=ROOT / "test" / "data" / "grasps", metavar="BAG")
    parser.add_argument("--limit", type=int, default=500, help="renders looked at")
    parser.add_argument("--empty", type=int, default=1000, help="empty scenes looked at")
    parser.add_argument("--grid", type=int, default=160, help="cells along the longer side of a picture (160)")
    parser.add_argument(
        "--certainty", type=float, default=SegmentationSettings.hand_certainty_min, help="hand_certainty_min"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network (auto)")
    parser.add_argument("--docs", action="store_true", help="put the table into the notebook's page")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    settings = SegmentationSettings(grid_long_side=options.grid, hand_certainty_min=options.certainty)
    by_classical = functools.partial(segment, settings=settings)
    network = load_segmentation(options.network, precision=options.precision)
    print(network.name)
    by_network = functools.partial(network.segment, settings=settings)
    sets: dict[str, list[Frame]] = {
        "renders": list(renders(options.renders, options.limit)) if options.renders else [],
        "empty": list(empty_scenes(options.empty)),
        "bag": list(bag_frames(options.bag)),
        "camera": list(camera_frames(options.frames)),
    }
    heads = ("hand", "object", "pooled", "false", "missed", "on hand", "beside", "moves", "ms")
    rows = [("frames", "method", *heads)]
    print(line(rows[0]))
    for name, frames in sets.items():
        if not frames:
            print(f"{name:<10}skipped: there are none")
            continue
        for label, method, colour in (
            ("classical", by_classical, True),
            ("network", by_network, True),
            ("classical, depth only", by_classical, False),
            ("network, depth only", by_network, False),
        ):
            rows.append((name, label, *figures(frames, method, colour)))
            print(line(rows[-1]), flush=True)
    if options.docs:
        ruler = ("---",) * len(rows[0])
        table = "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ruler, *rows[1:]))
        write_between(ROOT / "docs" / "notebook" / "2026-11-finding-hands.md", "segmentation", table + "\n")
    return 0


def line(row: tuple[str, ...]) -> str:
    widths = (-10, -22, 6, 8, 13, 7, 8, 9, 8, 13, 7)
    return "".join(f"{cell:<{-w}}" if w < 0 else f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True))


def figures(frames: list[Frame], method: Method, colour: bool) -> tuple[str, ...]:
    """The cells of one line of the table."""
    ious: dict[int, list[float]] = {1: [], 2: []}
    both, either = np.zeros(3), np.zeros(3)
    false, missed, on_hand, moves, milliseconds = [], [], [], [], []
    beside: list[int] = []
    rng = np.random.default_rng(0)
    for number, (rgb, depth, true, focal) in enumerate(frames):
        seen = rgb if colour else None
        if number == 0:
            method(seen, depth, focal_px=focal)
        start = time.thread_time()
        found = method(seen, depth, focal_px=focal)
        milliseconds.append((time.thread_time() - start) * 1e3)
        windows = find_windows(found, depth, focal)
        for value in (1, 2):
            both[value] += ((found == value) & (true == value)).sum()
            either[value] += ((found == value) | (true == value)).sum()
            share = overlap(found == value, true == value)
            ious[value] += [] if share is None else [share]
        if (true == BESIDE).any():
            beside.append(int(((found == 2) & (true == BESIDE)).sum()))
        if (true == 1).any():
            missed.append(not windows)
            on_hand.append(bool(windows) and on_grasp(true, windows[0].center_x, windows[0].center_y))
        elif not (true == 2).any():
            false.append(bool(windows))
        if windows and number % 4 == 0:
            step = rng.integers(-true.shape[0] // 20, true.shape[0] // 20 + 1, 2)
            again = find_windows(*_seen_moved(method, seen, depth, focal, step), focal)
            if again:
                off = np.hypot(*(np.array(_center(again[0])) - _center(windows[0]) - step))
                moves.append(off / windows[0].side_px * 32)
    pooled = [both[value] / either[value] if either[value] else np.nan for value in (1, 2)]
    spread = np.percentile(moves, (50, 95)) if moves else (np.nan, np.nan)
    return (
        _mean(ious[1]),
        _mean(ious[2]),
        f"{pooled[0]:.2f} {pooled[1]:.2f}",
        _mean(false, 3),
        _mean(missed),
        _mean(on_hand),
        str(sum(beside)) if beside else "-",
        f"{spread[0]:.2f} {spread[1]:.2f}",
        f"{np.median(milliseconds):.1f}",
    )


def renders(path: Path, limit: int) -> Iterator[Frame]:
    with np.load(path, allow_pickle=False) as file:
        color, millimetres, labels, k = (file[name] for name in ("color", "depth_mm", "segmentation", "k"))
    for index in range(min(limit, len(color))):
        yield color[index], _metres(millimetres[index]), labels[index], float(k[index, 0, 0])


def empty_scenes(count: int) -> Iterator[Frame]:
    """Rooms, tables and things without a hand."""
    settings = SimulatorSettings(**{**VARIED, "seed": 903, "subjects": (1000, 1200), "empty_share": 1.0})
    for number in range(-(-count // settings.views_per_scene)):
        for sample in render_scene(settings, number):
            yield sample.rgb, sample.depth_m, sample.labels, float(sample.k[0, 0])


def bag_frames(path: Path) -> Iterator[Frame]:
    """Every third frame; the truth lies beside the bag as NAME_truth.npz."""
    truth_path = path.with_name(path.name + "_truth.npz")
    if not path.exists() or not truth_path.exists():
        return
    with np.load(truth_path, allow_pickle=False) as truth:
        labels, focal = truth["labels"], float(truth["k"][0, 0])
        rows = {int(stamp): row for row, stamp in enumerate(truth["stamp_ns"])}
    with Bag(path) as bag:
        for number, seen in enumerate(bag.rgbd_frames()):
            if number % 3 == 0 and seen.stamp_ns in rows:
                yield seen.color, seen.depth_m, labels[rows[seen.stamp_ns]], focal


def camera_frames(folder: Path) -> Iterator[Frame]:
    if folder.is_dir():
        for name in frame_names(folder):
            rgb, depth, labels = load_frame(name)
            yield rgb, depth, np.where(labels <= BESIDE, labels, 0).astype(np.uint8), FOCAL_PX


def _seen_moved(
    method: Method, rgb: np.ndarray | None, depth: np.ndarray, focal: float, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and depth after the picture was moved by whole pixels; nothing comes in from outside."""
    matrix = np.array([[1, 0, step[0]], [0, 1, step[1]]], np.float64)
    size = depth.shape[::-1]
    moved = cv2.warpAffine(np.nan_to_num(depth), matrix, size, flags=cv2.INTER_NEAREST)
    moved = np.where(moved > 0, moved, np.float32(np.nan))
    seen = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_NEAREST) if rgb is not None else None
    return method(seen, moved, focal_px=focal), moved


def _center(window: Window) -> tuple[float, float]:
    return window.center_x, window.center_y


def _metres(millimetres: np.ndarray) -> np.ndarray:
    return np.where(millimetres > 0, millimetres / 1000.0, np.nan).astype(np.float32)


def _mean(values: list, digits: int = 2) -> str:
    return f"{np.mean(values):.{digits}f}" if values else "-"


if __name__ == "__main__":
    sys.exit(main())
