"""Windows of stored frames: one for each hand of which enough is seen, cut from true masks or from what is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tiae_ros.vision.labels import HAND, Labels
from tiae_ros.vision.sight import Segmentation, sight_of_labels
from tiae_ros.vision.window import Window
from tiae_training.data.windows import ShownHand, WindowRow, WindowSize, cut_row
from tiae_training.simulator.window_set import Segmented
from tiae_training.workers import each_in_order
from tiae_training.world.clothes import ARM
from tiae_training.world.hand_poses import ALL_GRASPS
from tiae_training.world.holding import STYLES
from tiae_training.world.shards import StoredFrame, stored_frames

from .evaluation import whose_hand
from .examples import Hands, hands_of

LABEL_NAMES = tuple(dict.fromkeys((*ALL_GRASPS, *STYLES, "free")))


def rows_of_shards(
    shards: Sequence[Path], shape: WindowSize, segmented: Segmented, seed: int, workers: int = 1
) -> Iterator[tuple[Path, list[WindowRow]]]:
    """Windows of each shard; the number of workers changes the speed, not the windows.

    Raises DataError for a file that is none, ModelError for a segmentation that cannot be read.
    """
    if segmented.share:
        segmented.open()  # complain before workers start
    jobs = [(path, shape, segmented, (seed, number, 51)) for number, path in enumerate(shards)]
    yield from zip(shards, each_in_order(_rows_of_shard, jobs, workers), strict=True)


def _rows_of_shard(job: tuple[Path, WindowSize, Segmented, tuple[int, ...]]) -> list[WindowRow]:
    path, shape, segmented, seed = job
    rng = np.random.default_rng(seed)
    rows: list[WindowRow] = []
    for frame in stored_frames(path):
        rows += rows_of_frame(frame, shape, segmented.open() if rng.random() < segmented.share else None)
    return rows


def rows_of_frame(frame: StoredFrame, shape: WindowSize, segmentation: Segmentation | None) -> Iterator[WindowRow]:
    """A window for each hand. Other hands are seen where a segmentation sees them, and are never to be restored."""
    hands = hands_of(frame)
    places = _true_places(frame, hands, shape) if segmentation is None else _found(frame, hands, shape, segmentation)
    for number, window, labels in places:
        clean = frame.depth_m if frame.clean_depth_m is None else frame.clean_depth_m
        row = cut_row(window, labels, _own(frame, hands, number), frame.depth_m, clean, shape, _shown(frame, number))
        if row is not None:
            yield row


def _own(frame: StoredFrame, hands: Hands, number: int) -> Labels:
    """Labels of one hand, as a segmentation gives them: the arm is hand."""
    labels = np.where(frame.owner == hands.number[number] + 1, frame.labels, 0).astype(np.uint8)
    labels[labels == ARM] = HAND
    return labels


def _true_places(frame: StoredFrame, hands: Hands, shape: WindowSize) -> Iterator[tuple[int, Window, Labels]]:
    for number in np.flatnonzero(hands.plain).tolist():
        own = _own(frame, hands, number)
        sight = sight_of_labels(own, frame.depth_m, frame.focal_px, shape.metric_size_m)
        found = [hand for hand in sight.hands if whose_hand(hand, frame, hands) == number]
        if found:
            yield number, found[0].window, own


def _found(
    frame: StoredFrame, hands: Hands, shape: WindowSize, segmentation: Segmentation
) -> Iterator[tuple[int, Window, Labels]]:
    sight = segmentation.see(frame.color, frame.depth_m, focal_px=frame.focal_px, metric_size_m=shape.metric_size_m)
    for hand in sight.hands:
        number = whose_hand(hand, frame, hands)
        if number is not None and hands.plain[number]:
            yield number, hand.window, sight.labels


def _shown(frame: StoredFrame, number: int) -> ShownHand:
    known = {name: values[number] for name, values in frame.hands.items()}
    return ShownHand(
        joints=known["joints"],
        tips_mm=known["tips_mm"],
        view=known["view"],
        size_m=float(known["size_m"]),
        grasp=str(known["grasp"]),
        subject=int(known["person"]),
        left=bool(known["left"]),
        keypoints=known.get("keypoints"),  # frames of before have none
    )
