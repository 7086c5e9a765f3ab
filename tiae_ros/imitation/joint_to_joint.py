"""Human joints -> robot joints that turn alike, each by itself.

This moves what no fingertip depends on (a wrist), settles what fingertips leave open (how a bend is shared among the
joints of a finger), and is all there is for a hand whose file has no fingers.
"""

from __future__ import annotations

import numpy as np

from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.imitation.robot_hand import RobotHand


class JointToJoint:
    """The joints of a hand whose file names a `human` joint: angle = factor * human angle + offset."""

    def __init__(self, hand: RobotHand) -> None:
        place = {name: k for k, name in enumerate(JOINT_NAMES)}
        self.follows = np.array([bool(joint.human) for joint in hand.active])
        """(A,) which joints follow a human one."""
        followers = [joint for joint in hand.active if joint.human]
        self._human = np.array([place[joint.human] for joint in followers], dtype=int)
        self._factor = np.array([joint.factor for joint in followers])
        self._offset = np.array([joint.offset for joint in followers])
        self._hand, self._rest = hand, hand.rest

    def angles(self, joints: np.ndarray | None, unknown: np.ndarray | None = None) -> np.ndarray:
        """(25,) radians in the order of `human_hand.JOINT_NAMES`, or None -> (A,) radians within limits.

        ``unknown``, (A,) radians or the rest pose, stands in where the human joint is NaN; the rest pose for joints
        that follow none. No joint is above its `not_above`.
        """
        angles = np.where(self.follows, self._rest if unknown is None else unknown, self._rest)
        if joints is not None:
            wanted = self._factor * np.asarray(joints, dtype=float)[self._human] + self._offset
            angles[self.follows] = np.where(np.isfinite(wanted), wanted, angles[self.follows])
        return self._hand.within_limits(angles)
