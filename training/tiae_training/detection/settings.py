"""How a hand detector is trained; saved with the model."""

from __future__ import annotations

from dataclasses import dataclass

from tiae_ros.errors import ParameterError
from tiae_training.transforms.ranges import setting


@dataclass(frozen=True)
class DetectorTraining:
    """Numbers of `tiae train detector`."""

    proposal_steps: int = setting(8000, "--proposal-steps", "steps of the first look")
    close_steps: int = setting(8000, "--close-steps", "steps of the second look")
    proposal_batch: int = setting(16, "--proposal-batch", "pictures a step")
    close_batch: int = setting(32, "--close-batch", "crops a step")
    learning_rate: float = setting(2e-3, "--learning-rate", "at its highest")
    colorless_share: float = setting(0.15, "--colorless-share", "of examples without colour")
    holed_share: float = setting(0.3, "--holed-share", "of examples whose depth has blobs without a reading")
    background_share: float = setting(0.2, "--background-share", "of hands put before another background")
    poor_depth_share: float = setting(
        0.25, "--poor-depth-share", "of examples with colour that may get a poor sensor's depth"
    )
    alone_share: float = setting(
        0.6, "--alone-share", "of the second look's steps before it sees what deceives the first"
    )
    seed: int = setting(0, "--seed", "of weights and examples")

    def __post_init__(self) -> None:
        for name in ("proposal_steps", "close_steps"):
            if getattr(self, name) < 0:
                raise ParameterError(f"{name} is {getattr(self, name)}; accepted is 0 or more")
        for name in ("proposal_batch", "close_batch"):
            if not 1 <= getattr(self, name) <= 4096:
                raise ParameterError(f"{name} is {getattr(self, name)}; accepted is 1 to 4096")
        if not 0 < self.learning_rate < 1:
            raise ParameterError(f"learning_rate is {self.learning_rate}; accepted is above 0 and below 1")
        for name in ("colorless_share", "holed_share", "background_share", "poor_depth_share", "alone_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; accepted is 0 to 1")
