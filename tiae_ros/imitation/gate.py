"""Whether a robot hand follows now: following, holding, unsure, stale or disabled, and why.

Targets are given out while following, and in no other state. Holding the last target is the controller's work.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np

from tiae_ros.errors import ParameterError
from tiae_ros.imitation.human_hand import JOINT_NAMES, LENGTH_MM


class State(str, enum.Enum):
    """What `~/imitation_state` says first."""

    FOLLOWING = "following"  # targets are given out
    HOLDING = "holding"  # nothing to follow at the moment: no hand in this frame, or not yet sure again
    UNSURE = "unsure"  # a hand, but not one to trust
    STALE = "stale"  # nothing new for too long
    DISABLED = "disabled"


@dataclass(frozen=True)
class Observation:
    """What one frame says of the operator's hand."""

    stamp_s: float  # of the frame
    tips_mm: np.ndarray  # (5, 3), see `human_hand`
    joints: np.ndarray | None = None  # (25,) radians, NaN where unknown
    spread_rad: float = 0.0  # how far off the joints may be
    known: bool = True  # False: unlike anything the model has learnt
    length_mm: float = LENGTH_MM  # of the hand
    pinch: np.ndarray | None = None  # (4,) 0..1, how surely the thumb touches index … little; None: by the tips
    features: np.ndarray | None = None  # (F,) what a map of pairs goes by, see `calibration`


@dataclass(frozen=True)
class Verdict:
    """A state, and one line about it."""

    state: State
    reason: str


@dataclass(frozen=True)
class GateSettings:
    """What is trusted."""

    max_age_s: float = 0.5  # older frames are stale
    max_spread_rad: float = 0.5  # above it: unsure
    sure_frames: int = 3  # so many good frames before it follows (again)
    lost_frames: int = 1  # so many frames in a row without a hand do not ask for `sure_frames` again

    def __post_init__(self) -> None:
        ranges = {
            "max_age_s": (0.02, 60.0), "max_spread_rad": (0.01, math.pi),
            "sure_frames": (1, 1000), "lost_frames": (0, 1000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within {low:g} … {high:g}")


class Gate:
    """Decides frame by frame; remembers when a hand was last seen, and for how many frames it was good.

    It follows from the `sure_frames`-th good frame on. The count starts again after a frame that is unsure, stale or
    disabled, and after more than `lost_frames` frames in a row without a hand (that may be another hand then).
    """

    def __init__(self, settings: GateSettings | None = None) -> None:
        self.settings = settings or GateSettings()
        self.enabled = False
        self._seen_s: float | None = None
        self._good = self._lost = 0

    def reset(self) -> None:
        """Forget what was seen."""
        self._seen_s, self._good, self._lost = None, 0, 0

    def decide(self, observation: Observation | None, now_s: float) -> Verdict:
        """The state for one frame; ``observation`` is None where it shows no hand, ``now_s`` on the stamps' clock."""
        verdict = self._judge(observation, now_s)
        self._lost = self._lost + 1 if observation is None else 0
        if verdict.state is State.FOLLOWING:
            self._good += 1
            if self._good < self.settings.sure_frames:
                return Verdict(State.HOLDING, f"a good hand for {self._good} of {self.settings.sure_frames} frames")
        elif verdict.state is not State.HOLDING or self._lost > self.settings.lost_frames:
            self._good = 0
        return verdict

    def _judge(self, observation: Observation | None, now_s: float) -> Verdict:
        oldest = self.settings.max_age_s
        if not self.enabled:
            return Verdict(State.DISABLED, "it is not enabled")
        if not math.isfinite(now_s):
            return Verdict(State.STALE, "the clock gives no time")
        if observation is None:
            if self._seen_s is not None and 0 <= now_s - self._seen_s <= oldest:
                return Verdict(State.HOLDING, "no hand in this frame")
            return Verdict(State.STALE, f"no hand for more than {oldest:g} s")
        if not math.isfinite(observation.stamp_s):
            return Verdict(State.STALE, "the frame has no stamp")
        age_s = now_s - observation.stamp_s
        if age_s > oldest:
            return Verdict(State.STALE, f"the frame is {age_s:.2f} s old; accepted are {oldest:g} s")
        if age_s < -oldest:
            return Verdict(
                State.STALE, f"the frame's stamp is {-age_s:.2f} s ahead of the clock; do both use one clock?"
            )
        self._seen_s = min(observation.stamp_s, now_s)  # a stamp may be a little ahead of the clock
        if wrong := _unusable(observation):
            return Verdict(State.UNSURE, wrong)
        if not observation.known:
            return Verdict(State.UNSURE, "this is unlike any hand that the model has learnt")
        if not observation.spread_rad <= self.settings.max_spread_rad:  # NaN too
            spread, most = math.degrees(observation.spread_rad), math.degrees(self.settings.max_spread_rad)
            return Verdict(State.UNSURE, f"the joints are known to {spread:.0f} degrees only; accepted are {most:.0f}")
        return Verdict(State.FOLLOWING, "")


def _unusable(observation: Observation) -> str:
    if np.shape(observation.tips_mm) != (5, 3) or not np.isfinite(observation.tips_mm).all():
        return "the fingertips are not finite"
    if np.abs(observation.tips_mm).max() > 1000.0:
        return "a fingertip is more than a metre away from its wrist"
    if observation.joints is not None:
        if np.shape(observation.joints) != (len(JOINT_NAMES),):
            return f"there are not {len(JOINT_NAMES)} joints"
        if np.isinf(observation.joints).any():
            return "a joint is infinite"
    if observation.pinch is not None and not (
        np.shape(observation.pinch) == (4,) and np.isfinite(observation.pinch).all()
    ):
        return "the pinches are not four finite numbers"
    if not 80.0 <= observation.length_mm <= 300.0:
        return f"the hand is {observation.length_mm:.0f} mm long; accepted are 80 … 300"
    return ""
