"""How a hand pose model is trained; saved with the model. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from tiae_ros.errors import ParameterError
from tiae_training.transforms.ranges import setting

SEES = ("detail", "descriptor", "window")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class HandPoseTraining:
    """Numbers of `tiae train hand_pose`."""

    sees: str = setting(
        "detail",
        "--sees",
        "detail: the descriptor and the hand in finer pixels, brought to the middle by the shift; "
        "descriptor: this alone; window: as it is, with features of its own",
    )
    epochs: int = setting(14, "--epochs", "passes over the windows; 0: of --start nothing is trained")
    batch_size: int = setting(64, "--batch-size", "windows a step")
    learning_rate: float = setting(3e-3, "--learning-rate", "at its highest")
    weight_decay: float = setting(1e-2, "--weight-decay", "AdamW's")
    hidden: int = setting(192, "--hidden", "features between what is seen and what is said")
    shift_radius_px: int = setting(8, "--shift-radius", "largest shift of a window in pixels")
    turned_share: float = setting(0.6, "--turned-share", "of windows turned by any angle")
    others_share: float = setting(0.12, "--others-share", "windows that show no hand, beside each batch")
    agreement_weight: float = setting(
        0.0,
        "--agreement-weight",
        "how much estimates are asked to stay the same when a hand's labels flicker; 0: hands are not shown twice",
    )
    calibration_share: float = setting(0.1, "--calibration-share", "of people kept apart, to measure the spread by")
    seed: int = setting(0, "--seed", "of weights, order, shifts and the people kept apart")
    precision: str = setting(
        "auto", "--precision", "of the detail's maps: float32, bfloat16, or auto: the latter where hardware has it"
    )

    def __post_init__(self) -> None:
        if self.sees not in SEES:
            raise ParameterError(f"sees is {self.sees!r}; accepted are {', '.join(SEES)}")
        if self.precision not in PRECISIONS:
            raise ParameterError(f"precision is {self.precision!r}; accepted are {', '.join(PRECISIONS)}")
        for name, least in (("epochs", 0), ("batch_size", 2), ("hidden", 1), ("shift_radius_px", 0)):
            if getattr(self, name) < least:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 < self.learning_rate < 1:
            raise ParameterError(f"learning_rate is {self.learning_rate}; accepted is above 0 and below 1")
        if not 0 <= self.weight_decay < 1:
            raise ParameterError(f"weight_decay is {self.weight_decay}; accepted is 0 and more, below 1")
        if not 0 <= self.agreement_weight <= 1000:
            raise ParameterError(f"agreement_weight is {self.agreement_weight}; accepted is 0 to 1000")
        if not 0 <= self.turned_share <= 1:
            raise ParameterError(f"turned_share is {self.turned_share}; accepted is 0 to 1")
        for name in ("others_share", "calibration_share"):
            if not 0 < getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; accepted is above 0 and below 1")
