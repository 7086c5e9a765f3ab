"""What a segmentation network is shown to find the ranges of its graph in whole numbers of 8 bits (`eight_bits`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiae_ros.vision.labels import Floats
from tiae_training.segmentation.augmentation import augmented
from tiae_training.segmentation.frames import FrameArrays
from tiae_training.segmentation.settings import SegmentationTraining

LOOKS = 140


def eight_bit_looks(frames: FrameArrays, settings: SegmentationTraining, *, looks: int = LOOKS) -> Iterator[Floats]:
    """Planes (1, 9, H, W) to calibrate by: that many looks at frames, as the settings draw them."""
    rng = np.random.default_rng(settings.seed)
    for index in rng.integers(0, len(frames), looks):
        planes, _ = augmented(frames, int(index), rng, settings)
        yield np.ascontiguousarray(planes.transpose(2, 0, 1)[None])  # (h, w, 9) -> (1, 9, h, w)
