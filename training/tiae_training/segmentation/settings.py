"""How a segmentation network is trained; saved with the model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tiae_ros.errors import ParameterError
from tiae_ros.vision.segmentation.settings import STRIDE
from tiae_training.transforms.ranges import setting


@dataclass(frozen=True)
class SegmentationTraining:
    """How to train; saved with the model."""

    steps: int = setting(11000, "--steps", "batches to learn from")
    batch_size: int = setting(32, "--batch-size", "pictures per batch")
    learning_rate: float = setting(3e-3, "--learning-rate", "peak of the one-cycle schedule")
    weight_decay: float = setting(1e-3, "--weight-decay", "AdamW's")
    height: int = setting(96, "--height", "cells of a picture")
    width: int = setting(128, "--width", "cells of a picture")
    without_color_share: float = setting(0.15, "--without-color-share", "of pictures shown without colour")
    second_hand_share: float = setting(
        0.0, "--second-hand-share", "of pictures into which the hand of another frame is put"
    )
    block_matcher_share: float = setting(
        0.0, "--block-matcher-share", "of pictures whose depth comes from a matcher of large windows"
    )
    hidden_hand_share: float = setting(0.0, "--hidden-hand-share", "of pictures in which much of the hand has no depth")
    empty_hand_share: float = setting(
        0.0, "--empty-hand-share", "of pictures drawn from those with a hand that holds nothing, beside their own share"
    )
    plain_share: float = setting(
        0.0, "--plain-share", "of pictures seen as they were rendered but for a shift, a mirror and the light"
    )
    poor_depth_share: float = setting(0.0, "--poor-depth-share", "of those: the depth alone is a poor sensor's")
    hard_negative_weight: float = setting(
        0.0, "--hard-negative-weight", "of the cells of a picture without a hand that look most like one"
    )
    seed: int = setting(0, "--seed", "decides weights, order and looks")
    precision: str = setting("auto", "--precision", "auto, float32 or bfloat16")

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "height", "width"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.height % STRIDE or self.width % STRIDE:
            raise ParameterError(f"{self.width}x{self.height} must be multiples of {STRIDE}")
        for name in (item.name for item in dataclasses.fields(self) if item.name.endswith("_share")):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within 0 to 1")
