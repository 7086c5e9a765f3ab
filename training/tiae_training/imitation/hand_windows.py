"""Windows of hands alone (`world.hand_views`), of which a hand pose model needs many."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from tiae_ros.vision.detail import DETAIL_SHARE
from tiae_ros.vision.labels import Labels
from tiae_ros.vision.sight import sight_of_labels
from tiae_training.data.windows import ShownHand, WindowRow, WindowSize, cut_row
from tiae_training.workers import each_in_order
from tiae_training.world.hand_views import PICTURE_PX, HandView, HandViewSettings, hand_views

if TYPE_CHECKING:
    from tiae_training.world.renderer import Renderer

_NEAR_M = 0.125
_LEAST_INSIDE = 0.8  # of the keypoints
_renderer: Renderer | None = None  # one per process


def rows_of_people(
    settings: HandViewSettings, shape: WindowSize, workers: int = 1
) -> Generator[list[WindowRow], None, None]:
    """Windows of one person after another, without end; the number of workers changes the speed, not the windows."""
    os.environ.setdefault("LP_NUM_THREADS", "1")  # of software rendering: processes share the cores
    yield from each_in_order(_rows_of_person, ((settings, number, shape) for number in itertools.count()), workers, 16)


def _rows_of_person(job: tuple[HandViewSettings, int, WindowSize]) -> list[WindowRow]:
    global _renderer
    settings, number, shape = job
    if _renderer is None:
        from tiae_training.world.renderer import Renderer

        _renderer = Renderer(PICTURE_PX, PICTURE_PX)
    rows = (row_of_view(view, shape) for view in hand_views(settings, number, _renderer))
    return [row for row in rows if row is not None]


def row_of_view(view: HandView, shape: WindowSize) -> WindowRow | None:
    """The window of a picture; None where hardly anything of the hand was found, or the arm was taken for it."""
    hand = view.hand
    sight = sight_of_labels(_near_hand(view), view.depth_m, view.focal_px, shape.metric_size_m)
    if not sight.hands:
        return None
    shown = ShownHand(
        hand.joints, hand.tips_mm, hand.view, hand.size_m, hand.grasp, hand.person, hand.left, hand.keypoints
    )
    window = sight.hands[0].window
    row = cut_row(window, view.labels, view.true_labels, view.depth_m, view.clean_depth_m, shape, shown)
    return row if row is not None and _shows_hand(row, shape) else None


def _near_hand(view: HandView) -> Labels:
    """Labels without what is far from the palm: here arms end in the air, and do not tell where they come from."""
    height, width = view.labels.shape
    x, y = view.hand.middle_px
    reach = _NEAR_M * view.focal_px / view.hand.distance_m
    far = (np.arange(width) - x) ** 2 + (np.arange(height)[:, None] - y) ** 2 > reach**2
    return np.where(far, 0, view.labels).astype(np.uint8)


def _shows_hand(row: WindowRow, shape: WindowSize) -> bool:
    """Whether most of the hand lies in the detail, and within its range of depth."""
    reach = DETAIL_SHARE * shape.size / 2 + 1
    within = np.abs(row.keypoints) <= [reach, reach, shape.range_m / 2]
    return bool(within.all(1).mean() >= _LEAST_INSIDE)
