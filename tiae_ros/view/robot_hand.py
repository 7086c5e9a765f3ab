"""Joint targets -> the bones of the robot hand that they are for.

The hand is known by the names of its joints, from the files of `config/hands` or one of the user's own; no meshes, only
the places of its joints. Coordinates are metres in the human palm's axes (see `tiae_ros.imitation.fingertips`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.errors import HandError
from tiae_ros.imitation.fingertips import MM, Fingertips
from tiae_ros.imitation.hand_files import shipped_hands
from tiae_ros.imitation.robot_hand import RobotHand, load_hand


@dataclass(frozen=True)
class Bones:
    """A robot hand as it stands."""

    title: str
    segments: np.ndarray  # (B, 2, 3) metres
    joints: np.ndarray  # (J, 3) metres


class RobotHands:
    """Finds the hand once, then places its bones."""

    def __init__(self, own: str = "") -> None:
        """own: YAML file or name of the hand; "": the shipped one whose joints are named. Raises HandError."""
        self._hands: list[RobotHand] = [load_hand(own)] if own else []
        self._own = bool(own)
        self._found: tuple[tuple[str, ...], RobotHand | None] = ((), None)
        self._tips: dict[str, Fingertips] = {}

    def bones(self, state: Any) -> Bones | str:
        """Of a sensor_msgs/JointState, or one line that says why there are none."""
        names = tuple(state.name)
        if self._found[0] != names:
            self._found = names, self._hand_of(names)
        hand = self._found[1]
        if hand is None:
            some = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
            known = self._hands[0].title if self._own else ", ".join(shipped_hands())
            return f"joint targets are for {some or 'no joints'}: not a hand of {known}; give its file by --hand"
        angles = hand.in_order(names, state.position)
        return bones_of(hand, self._tips.setdefault(hand.name, Fingertips(hand)), angles)

    def _hand_of(self, names: Sequence[str]) -> RobotHand | None:
        if not self._hands:
            self._hands = list(_shipped())
        # Several hands call their joints by numbers: the one of which most are named.
        fitting = [hand for hand in self._hands if set(hand.names) <= set(names)]
        return max(fitting, key=lambda hand: len(hand.names), default=None)


def bones_of(hand: RobotHand, tips: Fingertips, angles: np.ndarray) -> Bones:
    """angles: (A,) radians; NaN is taken for the open hand's."""
    chains = [chain / MM for chain in tips.bones(np.where(np.isfinite(angles), angles, hand.rest))]
    segments = []
    for chain in chains:
        places = np.concatenate([np.zeros((1, 3)), chain])  # from the base link on
        segments.append(np.stack([places[:-1], places[1:]], axis=1))
    joints = np.concatenate(chains) if chains else np.zeros((0, 3))
    return Bones(hand.title, np.concatenate(segments) if segments else np.zeros((0, 2, 3)), joints)


def _shipped() -> list[RobotHand]:
    hands = []
    for name, path in shipped_hands().items():
        try:
            hands.append(load_hand(str(path) if Path(path).suffix else name))
        except HandError:  # one that somebody has put there and that is not whole yet
            continue
    return hands
