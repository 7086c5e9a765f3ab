"""Hands found, masks, false windows, confidence: by a detector and the classical method, on renders and real frames.

    python benchmarks/hands_found.py --frames held_out             # folders of `tiae simulate people`
    python benchmarks/hands_found.py --network models/segmentation models/detector runs/mine
    python benchmarks/hands_found.py --frames held_out --docs       # the notebook's table

Sets:
    renders        people, things and rooms that nothing was trained on; hands of which a quarter is seen must be found
    tables         real tables without a hand (../shared/data/real_empty_tables, test*): each window is a false one
    desk           12 real frames of a hand that pours (../shared/data/real_rgbd_desk); turned: by 90, 180, 270 degrees
    desk, half     the same at half the size
    desk, depth    the same without colour
    bag            the recorded, rendered bag of the tests

hand, held      intersection over union of labels, mean over frames that show such (desk and bag: hand with arm)
found           share of hands up to 1.2 m that get a window on them (up to 0.7 m, to 0.8 m, to 1.2 m; of those of which
                35 square centimetres of a grown hand are seen); desk, bag: frames of all
on hand         share of frames whose main window's centre lies on hand or held thing
false           share of frames with a window that is no hand's, or a hand's second one
beside          pixels of a thing that stands beside taken for held, of all desk frames together
ece, auc        of the confidence: expected calibration error, area under the curve of true against false
ms              processor time of one thread a frame, median; whole picture / followed (renders: the first 100 frames,
                enlarged to a width of 640 pixels)

`two views` is a detector that looks at each place mirrored, too (`hand_views: 2`). With --mediapipe, MediaPipe's hand
landmarks are held beside (`mediapipe_hands.py`).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mediapipe_hands import MediaPipeHands
from real_frames import FRAMES, on_grasp, overlap
from recipes import write_between
from segmentation import BESIDE, bag_frames, camera_frames

from tiae_ros.model.segmenter import choose_segmentation
from tiae_ros.vision.detection.detector import HandDetector
from tiae_ros.vision.labels import Floats, Picture
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation, Sight
from tiae_training.detection.evaluation import judge
from tiae_training.detection.prepare import real_frames, shards_of
from tiae_training.world.shards import StoredFrame, stored_frames

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "notebook" / "2026-11-finding-hands.md"
TABLES = ROOT.parent / "shared" / "data" / "real_empty_tables"
TIMED, WIDTH_PX = 100, 640  # rendered frames whose time is taken, and how wide they are then
PARTS = ("found_0_0.7", "found_0.7_0.8", "found_0.8_1.2", "found_mostly_shown")
HEADS = ("frames", "method", "found", "on hand", "hand", "held", "false", "beside", "ece", "auc", "ms")

_OF_MASKS = ("hand", "held", "beside", "ms")  # MediaPipe has no masks, and its time is another process's


@dataclass(frozen=True)
class Labelled:
    """A frame with labels of one hand and what it holds."""

    color: np.ndarray
    depth_m: np.ndarray
    labels: np.ndarray
    focal_px: float


class TwoViews(Segmentation):
    """A detector that looks at each place mirrored, too."""

    def __init__(self, detector: Segmentation) -> None:
        self.name, self._detector = f"{detector.name}, 2 views", detector

    def see(
        self, color: Picture | None, depth_m: Floats, settings: SegmentationSettings | None = None, **more: Any
    ) -> Sight:
        both = dataclasses.replace(settings or SegmentationSettings(), hand_views=2)
        return self._detector.see(color, depth_m, both, **more)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped = [ROOT / "models" / "segmentation", ROOT / "models" / "detector"]
    parser.add_argument("--network", type=Path, nargs="+", default=shipped, metavar="DIR", help="(those that ship)")
    parser.add_argument(
        "--frames", type=Path, nargs="*", default=[], metavar="FRAMES", help="folders of rendered frames"
    )
    parser.add_argument(
        "--skip-shards",
        type=int,
        default=0,
        metavar="N",
        help="at the beginning: those that calibrated the confidence (0)",
    )
    parser.add_argument("--limit", type=int, default=1000, help="rendered frames looked at (1000)")
    parser.add_argument(
        "--least", type=float, default=0.5, help="confidence that counts in rendered frames: hand_confidence_min (0.5)"
    )
    parser.add_argument("--mediapipe", metavar="PYTHON", help="an interpreter that has mediapipe==0.10.14, to compare")
    parser.add_argument("--no-classical", action="store_true", help="the networks alone")
    parser.add_argument("--docs", action="store_true", help="put the table into the notebook's page")
    options = parser.parse_args()
    if options.docs and not options.frames:
        parser.error("--docs writes the whole table; give rendered frames too, by --frames")
    cv2.setNumThreads(1)
    methods: list[tuple[str, Segmentation]] = []
    for folder in options.network:
        method = choose_segmentation("network", str(folder))
        methods.append((folder.name, method))
        if isinstance(method, HandDetector):
            methods.append(("two views", TwoViews(method)))
    print(", ".join(method.name for _, method in methods))
    if not options.no_classical:
        methods.append(("classical", choose_segmentation("classical")))
    if options.mediapipe:
        methods.append(("mediapipe", MediaPipeHands(options.mediapipe)))
    rows = [HEADS]
    print(line(HEADS))
    for name, method in methods:
        for row in all_rows(name, method, options):
            if isinstance(method, MediaPipeHands):
                if "depth" in row[0]:
                    continue  # it goes by colour
                row = tuple("" if head in _OF_MASKS else cell for head, cell in zip(HEADS, row, strict=True))
            rows.append(row)
            print(line(row), flush=True)
    if options.docs:
        rows.insert(1, ("---",) * len(HEADS))
        write_between(PAGE, "hands_found", "".join(f"| {' | '.join(row)} |\n" for row in rows))
    return 0


def all_rows(name: str, method: Segmentation, options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    if options.frames:
        shards = shards_of(options.frames)[options.skip_shards :]
        for label, color in (("renders", True), ("renders, depth", False)):
            frames = itertools.islice(itertools.chain.from_iterable(map(stored_frames, shards)), options.limit)
            figures = judge(method, frames, use_color=color, least=options.least).figures()
            yield (
                label,
                name,
                f"{figures['found']:.3f} ({' '.join(f'{figures[part]:.2f}' for part in PARTS)})",
                *(number(figures[key]) for key in ("main_on_hand", "hand_and_arm_iou", "held_iou", "false_frames")),
                "",
                number(figures["calibration_error"]),
                number(figures["auc"]),
                times([enlarged(frame) for frame in itertools.islice(stored_frames(shards[0]), TIMED)], method, color),
            )
    if TABLES.exists():
        false = [bool(see(method, frame).hands) for frame in real_frames(TABLES, "test*_color.*")]
        yield "tables", name, "", "", "", "", f"{sum(false)} of {len(false)}", "", "", "", ""
    desk = [Labelled(*frame) for frame in camera_frames(FRAMES)]
    for label, frames, color in (
        ("desk", desk, True),
        ("desk, turned", [turned(frame, turns) for frame in desk for turns in (1, 2, 3)], True),
        ("desk, half", [half(frame) for frame in desk], True),
        ("desk, depth", desk, False),
        ("bag", [Labelled(*frame) for frame in bag_frames(ROOT / "test" / "data" / "grasps")], True),
    ):
        if frames:
            yield label, name, *labelled_figures(method, frames, color)


def see(method: Segmentation, frame: Labelled, color: bool = True, before: Sequence[object] = ()) -> Sight:
    shown = frame.color if color else None
    return method.see(shown, frame.depth_m, focal_px=frame.focal_px, before=before)  # type: ignore[arg-type]


def labelled_figures(method: Segmentation, frames: list[Labelled], color: bool) -> tuple[str, ...]:
    """Cells of a line after the method's name."""
    hand, held, found, beside = [], [], [], 0
    for frame in frames:
        sight = see(method, frame, color)
        window = sight.hands[0].window if sight.hands else None
        found.append(window is not None and on_grasp(frame.labels, window.center_x, window.center_y))
        for value, into in ((1, hand), (2, held)):
            share = overlap(sight.labels == value, frame.labels == value)
            into += [] if share is None else [share]
        beside += int(((sight.labels == 2) & (frame.labels == BESIDE)).sum())
    return (
        f"{sum(found)} of {len(found)}",
        number(float(np.mean(found))),
        number(mean(hand)),
        number(mean(held)),
        "",
        str(beside),
        "",
        "",
        times(frames, method, color),
    )


def times(frames: Sequence[Labelled], method: Segmentation, color: bool) -> str:
    """Processor time of one thread, median: whole picture / followed."""
    whole_ms, followed_ms = [], []
    for frame in frames:
        start = time.thread_time()
        sight = see(method, frame, color)
        whole_ms.append(1e3 * (time.thread_time() - start))
        if sight.hands:
            start = time.thread_time()
            see(method, frame, color, sight.hands[:1])
            followed_ms.append(1e3 * (time.thread_time() - start))
    return f"{np.median(whole_ms):.1f} / {mean(followed_ms, np.median):.1f}"


def enlarged(frame: StoredFrame) -> Labelled:
    """A rendered frame as large as a usual camera's."""
    factor = WIDTH_PX / frame.depth_m.shape[1]
    color = cv2.resize(frame.color, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    size = color.shape[1::-1]
    depth, labels = (cv2.resize(part, size, interpolation=cv2.INTER_NEAREST) for part in (frame.depth_m, frame.labels))
    return Labelled(color, depth, labels, frame.focal_px * factor)


def mean(values: list[float], how: Callable[[list[float]], float] = np.mean) -> float:  # type: ignore[assignment]
    return float(how(values)) if values else math.nan


def number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def turned(frame: Labelled, quarters: int) -> Labelled:
    parts = (np.ascontiguousarray(np.rot90(part, quarters)) for part in (frame.color, frame.depth_m, frame.labels))
    return Labelled(*parts, frame.focal_px)


def half(frame: Labelled) -> Labelled:
    color = cv2.resize(frame.color, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Labelled(color, frame.depth_m[::2, ::2].copy(), frame.labels[::2, ::2].copy(), frame.focal_px / 2)


def line(row: tuple[str, ...]) -> str:
    widths = (-15, -13, 28, 8, 7, 7, 9, 8, 7, 7, 13)
    return "".join(f"{cell:<{-w}}" if w < 0 else f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
