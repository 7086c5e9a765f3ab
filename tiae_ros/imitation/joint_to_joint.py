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
        self._rest, self._lower, self._upper = hand.rest, hand.lower, hand.upper

    def angles(self, joints: np.ndarray | None) -> np.ndarray:
        """(25,) radians in the order of `human_hand.JOINT_NAMES`, or None -> (A,) radians within limits.

        The rest pose stands in for joints that follow none, and for human joints that are NaN.
        """
        angles = self._rest.copy()
        if joints is not None:
            wanted = self._factor * np.asarray(joints, dtype=float)[self._human] + self._offset
            angles[self.follows] = np.where(np.isfinite(wanted), wanted, angles[self.follows])
        clipped: np.ndarray = np.clip(angles, self._lower, self._upper)
        return clipped
