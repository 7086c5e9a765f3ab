"""One frame's hand -> the robot's next target, or none and why: gate, retargeting and safe motion together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiae_ros.imitation.calibration import PairMap
from tiae_ros.imitation.gate import Gate, GateSettings, Observation, State
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import RobotHand
from tiae_ros.imitation.safe_motion import SafeMotion, SafetySettings

FORGET_S = 1.5
"""After so long without a target somebody else may have moved the robot: it is asked again where it is."""


@dataclass(frozen=True)
class Imitation:
    """What came of one frame."""

    state: State
    reason: str  # one line, empty while following
    angles: np.ndarray | None = None  # (A,) radians, while following and in no other state


class Imitator:
    """Follows the operator's hand with one robot hand.

    Args:
        hand: the robot hand.
        gate: what is trusted.
        safety: how targets move.
        pair_map: corrects what retargeting gives, from pairs (`tiae imitate fit`).
        starts_at_rest: for robots that do not tell their joints: take them to be in the rest pose at first, and at
            the last target later. Without it nothing is given out until they tell.
    """

    def __init__(
        self,
        hand: RobotHand,
        *,
        gate: GateSettings | None = None,
        safety: SafetySettings | None = None,
        pair_map: PairMap | None = None,
        starts_at_rest: bool = False,
    ) -> None:
        self.hand = hand
        self.gate = Gate(gate)
        self.retargeting = Retargeting(hand)
        self.pair_map = pair_map
        self.motion = SafeMotion(hand, safety)
        self._without_robot = hand.rest.copy() if starts_at_rest else None
        self._given_s: float | None = None

    @property
    def enabled(self) -> bool:
        """Whether it may follow. A robot is started anew each time it is enabled."""
        return self.gate.enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if value != self.gate.enabled:
            self.gate.enabled = value
            self.gate.reset()
            self._forget()

    def _forget(self) -> None:
        self.motion.stop()
        self.retargeting.reset()
        self._given_s = None

    def step(self, observation: Observation | None, now_s: float, robot: np.ndarray | None = None) -> Imitation:
        """One frame.

        Args:
            observation: the operator's hand in it, or None where it shows none.
            now_s: the time, on the clock of the stamps.
            robot: (A,) the robot's joints now in radians, in the order of the hand's `names`, or None if not known.
        """
        verdict = self.gate.decide(observation, now_s)
        if self._given_s is not None and not 0 <= now_s - self._given_s <= FORGET_S:
            self._forget()
        if verdict.state is not State.FOLLOWING or observation is None:
            self.motion.hold()
            return Imitation(verdict.state, verdict.reason)
        if not self.motion.started:
            known = self._without_robot if robot is None else robot
            if known is None:
                return Imitation(State.HOLDING, "waiting for the robot's joint state")
            if wrong := self.motion.start(known):
                return Imitation(State.HOLDING, wrong)
        wanted = self.retargeting.retarget(
            observation.tips_mm, observation.joints, observation.length_mm, observation.pinch
        )
        if self.pair_map is not None and observation.features is not None:
            wanted = self.pair_map.correct(wanted, observation.features, self.hand)
        angles = self.motion.step(wanted, observation.stamp_s)
        if angles is None:
            return Imitation(State.HOLDING, "no newer frame")
        self._given_s = now_s
        if self._without_robot is not None:
            self._without_robot = angles.copy()
        return Imitation(State.FOLLOWING, "", angles)
