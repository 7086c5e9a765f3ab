"""Joint angles of a robot hand -> its fingertips, and how they move: forward kinematics of all chains at once.

A joint's turn is linear in the sine and cosine of its angle (Rodrigues 1840), R = A + B cos q + C sin q, with A, B, C
known beforehand and multiplied by the fixed turn before it. So all turns of all fingers are made in one expression,
and the chains, padded to one length, are multiplied out finger beside finger.

Convention: positions in millimetres in the human palm's axes (x to the fingertips, y to the thumb side, z out of the
back), origin in the robot's base link; of a left hand the mirror image.
"""

from __future__ import annotations

import numpy as np

from tiae_ros.imitation.robot_hand import RobotHand

MM = 1000.0


class Fingertips:
    """Forward kinematics of one hand. F fingers, A joints that the driver takes.

    `fingers` names the F fingers in the order of `human_hand.FINGERS`.
    """

    def __init__(self, hand: RobotHand) -> None:
        self.fingers = tuple(finger.name for finger in hand.fingers)
        self._matrix, self._offsets = hand.coupling()
        self._coupled = any(joint.mimic for joint in hand.joints)
        row = {joint.name: k for k, joint in enumerate(hand.joints)}
        count, length = len(hand.fingers), max((len(finger.chain) for finger in hand.fingers), default=0)
        none = len(hand.joints)  # the angle of a fixed link, and of the padding
        self._index = np.full((length, count), none)
        self._straight = np.tile(np.eye(4), (length, count, 1, 1))  # (L, F, 4, 4): a place, and a turn's share
        self._cosine, self._sine = np.zeros((2, length, count, 4, 4))
        self._axes = np.zeros((length, count, 3, 1))
        self._tips = np.ones((count, 4, 1))
        self._lengths = [len(finger.chain) for finger in hand.fingers]
        knuckles = []
        for f, finger in enumerate(hand.fingers):
            self._tips[f, :3, 0] = np.array(finger.tip_xyz) * MM
            for k, link in enumerate(finger.chain):
                # The base link's axes are turned into the palm's once, in front of each chain.
                before = hand.palm.T if k == 0 else np.eye(3)
                turn = before @ rotation_of(link.rpy)
                self._straight[k, f, :3, 3] = before @ np.array(link.xyz) * MM
                self._straight[k, f, :3, :3] = turn
                if link.joint:
                    axis = np.array(link.axis)
                    along = np.outer(axis, axis)
                    self._index[k, f] = row[link.joint]
                    self._axes[k, f, :, 0] = axis
                    self._straight[k, f, :3, :3] = turn @ along
                    self._cosine[k, f, :3, :3] = turn @ (np.eye(3) - along)
                    self._sine[k, f, :3, :3] = turn @ cross_matrix(axis)
                    if link.joint == finger.knuckle:
                        knuckles.append(k)
        self._knuckles = np.array(knuckles, dtype=int)
        self._each = np.arange(count)

    def positions(self, angles: np.ndarray) -> np.ndarray:
        """(…, A) radians -> (…, F, 3) millimetres."""
        angles = np.asarray(angles, dtype=float)
        if not self.fingers:
            return np.zeros((*angles.shape[:-1], 0, 3))
        many = angles.reshape(-1, angles.shape[-1])
        tips = np.array([(self._frames(one)[-1] @ self._tips)[:, :3, 0] for one in many])
        return tips.reshape(*angles.shape[:-1], len(self.fingers), 3)

    def knuckles(self, angles: np.ndarray) -> np.ndarray:
        """(A,) radians -> (F, 3) millimetres, the roots of the fingers."""
        if not self.fingers:
            return np.zeros((0, 3))
        places: np.ndarray = self._frames(np.asarray(angles, dtype=float))[self._knuckles, self._each, :3, 3]
        return places

    def bones(self, angles: np.ndarray) -> list[np.ndarray]:
        """(A,) radians -> of each finger (L, 3) millimetres: the places of its joints, and of the tip at last."""
        if not self.fingers:
            return []
        frames = self._frames(np.asarray(angles, dtype=float))
        tips = (frames[-1] @ self._tips)[:, :3, 0]
        return [np.concatenate([frames[:n, f, :3, 3], tips[f, None]]) for f, n in enumerate(self._lengths)]

    def motion(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(A,) radians -> (F, 3) tips in millimetres and (F, 3, A) millimetres per radian."""
        if not self.fingers:
            return np.zeros((0, 3)), np.zeros((0, 3, len(angles)))
        frames = self._frames(angles)
        tips = (frames[-1] @ self._tips)[:, :3, 0]
        axes = (frames[..., :3, :3] @ self._axes)[..., 0]  # (L, F, 3): a turn leaves its own axis in place
        arms = tips - frames[..., :3, 3]
        (ax, ay, az), (bx, by, bz) = axes.transpose(2, 0, 1), arms.transpose(2, 0, 1)
        moves = np.empty_like(axes)  # axis × arm, for which np.cross takes three times as long
        moves[..., 0] = ay * bz - az * by
        moves[..., 1] = az * bx - ax * bz
        moves[..., 2] = ax * by - ay * bx
        every = np.zeros((len(tips), 3, len(self._offsets) + 1))
        every[self._each, :, self._index] = moves
        motion = every[..., :-1]
        return tips, (motion @ self._matrix if self._coupled else motion)

    def _frames(self, angles: np.ndarray) -> np.ndarray:
        """(A,) -> (L, F, 4, 4), turn and place after each step of the chains."""
        every = np.zeros(len(self._offsets) + 1)
        every[:-1] = self._matrix @ angles + self._offsets if self._coupled else angles
        cosine, sine = np.cos(every)[self._index], np.sin(every)[self._index]  # (L, F)
        frames: np.ndarray = (
            self._straight + cosine[..., None, None] * self._cosine + sine[..., None, None] * self._sine
        )
        for k in range(1, len(frames)):
            frames[k] = frames[k - 1] @ frames[k]
        return frames


def rotation_of(rpy: tuple[float, float, float]) -> np.ndarray:
    """(3, 3) of URDF's roll, pitch, yaw: about the fixed x, then y, then z."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def cross_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) that multiplies as the cross product with a vector does."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
