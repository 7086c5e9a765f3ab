"""Windows of simulated grasps, cut from true masks, or a share of them from those that a segmentation finds."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiae_ros.errors import ParameterError
from tiae_ros.model.segmenter import choose_segmentation
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL
from tiae_ros.vision.sight import Segmentation, sight_of_labels
from tiae_training.data.windows import ShownHand, WindowRow, WindowSize, cut_row

from .scenes import rows_of_scenes
from .simulator import Sample, SimulatorSettings, render_scene

MIN_HAND_PIXELS = 40


@dataclass(frozen=True)
class Segmented:
    """How many of the windows are cut from masks that a detector or a segmentation found."""

    share: float = 0.0
    network: str = DEFAULT_SEGMENTATION_MODEL  # a shipped model's name or a folder

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ParameterError(f"the share of segmented windows is {self.share}; it must be within 0 to 1")

    def open(self) -> Segmentation:
        """The network, opened once in each process. Raises ModelError."""
        return _network(self.network)


def window_row(sample: Sample, shape: WindowSize, segmentation: Segmentation | None = None) -> WindowRow | None:
    """The window of a sample, or None when hardly anything of the hand is in the picture, found or has a depth."""
    if np.count_nonzero(sample.labels == 1) < MIN_HAND_PIXELS:
        return None
    focal = float(sample.k[0, 0])
    if segmentation is None:
        sight = sight_of_labels(sample.labels, sample.depth_m, focal, shape.metric_size_m)
    else:
        sight = segmentation.see(sample.rgb, sample.depth_m, focal_px=focal, metric_size_m=shape.metric_size_m)
    if not sight.hands:
        return None
    return cut_row(
        sight.hands[0].window, sight.labels, sample.labels, sample.depth_m, sample.clean_depth_m, shape, _shown(sample)
    )


def _shown(sample: Sample) -> ShownHand:
    palm = sample.palm
    return ShownHand(
        sample.joints,
        palm.tips_mm,
        palm.view,
        palm.length_m,
        sample.grasp,
        sample.subject,
        sample.left,
        palm.keypoints_px(sample.k),
    )


def _rows_of_scene(job: tuple[SimulatorSettings, int, tuple[WindowSize, Segmented]]) -> list[WindowRow]:
    settings, number, (shape, segmented) = job
    rng = np.random.default_rng((settings.seed, number))  # the number of workers does not change the bytes
    rows = []
    for sample in render_scene(settings, number):
        by_network = rng.random() < segmented.share
        rows.append(window_row(sample, shape, segmented.open() if by_network else None))
    return [row for row in rows if row is not None]


@functools.lru_cache(maxsize=1)
def _network(model: str) -> Segmentation:
    return choose_segmentation("network", model)


def window_rows(
    settings: SimulatorSettings, shape: WindowSize, workers: int = 1, segmented: Segmented | None = None
) -> Iterator[WindowRow]:
    """Windows without end; the number of workers changes the speed, not the bytes.

    Raises ModelError for a model that cannot be read.
    """
    segmented = segmented or Segmented()
    if segmented.share:
        segmented.open()  # complain before workers start
    return rows_of_scenes(_rows_of_scene, settings, (shape, segmented), workers)
