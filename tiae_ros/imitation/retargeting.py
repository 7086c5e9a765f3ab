"""Human fingertips and pinches -> the joints of a robot hand, by least squares.

After DexPilot (Handa et al. 2020, https://arxiv.org/abs/1910.03135), with its terms:

    tips     each fingertip, seen from the finger's root and scaled by the ratio of the fingers' lengths
    pinches  the vector from each fingertip to the thumb's; what is close in the human hand shall touch in the robot's
    pose     a small pull to joints that turn as the human ones do, and to the pose of the frame before

Seen from the finger's root instead of from the wrist (DexPilot), an open hand is open and a fist is closed on hands of
any proportions; what that costs in the vectors between fingers, the pinches bring back where it matters.

Levenberg-Marquardt with bounds, from the last solution on. Units: millimetres and radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiae_ros.imitation.fingertips import Fingertips
from tiae_ros.imitation.human_hand import FINGERS, JOINT_NAMES, KNUCKLES_MM, LENGTH_MM, REACH_MM
from tiae_ros.imitation.joint_to_joint import JointToJoint
from tiae_ros.imitation.robot_hand import RobotHand

# Of the four fingers beside the thumb.
_FLEXIONS = np.array(
    [[JOINT_NAMES.index(f"{f}_{joint}_flexion") for joint in ("mcp", "pip", "dip")] for f in FINGERS[1:]]
)


@dataclass(frozen=True)
class Weights:
    """What counts how much. A weight of 1 on a fingertip means: one millimetre costs one."""

    pinch: float = 10.0  # at full pinch, per millimetre between the two tips
    pinch_tip: float = 0.3  # of a fingertip that pinches: it goes where the pinch is
    apart: float = 0.2  # per millimetre of the vector between two tips that do not pinch
    pinch_full_mm: float = 14.0  # tips of the human hand that are closer than this touch
    pinch_none_mm: float = 40.0  # tips farther apart than this do not pinch
    pinch_unsure: float = 0.10  # a pinch that is seen less surely than this is told by the tips alone
    pinch_sure: float = 0.25  # and more surely than this it touches
    pinch_curled_rad: float = 3.2  # a finger whose three joints together are bent farther does not pinch any more:
    fist_curled_rad: float = 3.6  # here not at all, it is a fist's, and near the thumb all the same
    human: float = 20.0  # per radian away from the human joint that turns alike: tips are seen less well than joints
    rest: float = 1.0  # per radian away from the rest pose, of joints that follow no human one
    last: float = 2.0  # per radian away from the frame before
    not_above: float = 60.0  # per radian above the joint that a joint must not exceed


class Retargeting:
    """Fingertips of the human hand -> joints of one robot hand. Keeps the last solution; `reset` forgets it.

    Args:
        hand: the robot hand.
        weights: of the terms.
        iterations: at most, from the last solution on; the first frame and jumps get five times as many.
    """

    def __init__(self, hand: RobotHand, weights: Weights | None = None, iterations: int = 4) -> None:
        self.hand = hand
        self.weights = weights or Weights()
        self.iterations = iterations
        self.tips = Fingertips(hand)
        self._alike = JointToJoint(hand)
        self._lower, self._upper = hand.lower, hand.upper
        self._rows = np.array([FINGERS.index(name) for name in self.tips.fingers], dtype=int)
        count = len(self._rows)
        roots = self.tips.knuckles(hand.rest)
        reach = np.linalg.norm(self.tips.positions(hand.rest) - roots, axis=-1)
        self._roots, self._ratios = roots, hand.scale * reach / REACH_MM[self._rows]
        # Vectors: the F tips, then thumb minus finger for each other finger.
        self._pairs = np.arange(1, count) if "thumb" in self.tips.fingers else np.array([], dtype=int)
        self._vectors = np.concatenate([np.eye(count), np.eye(count)[:1] - np.eye(count)[self._pairs]])
        # Not at a special pose: where a finger is straight, some joints move its tip along nothing.
        anywhere = self._lower + 0.37 * (self._upper - self._lower)
        self._moves_tips = np.any(self.tips.motion(anywhere)[1] != 0, axis=(0, 1))
        one, (followers, leaders) = np.eye(len(hand.names)), hand.not_above
        self._above = one[followers] - one[leaders]
        self._last: np.ndarray | None = None
        self._last_targets = np.zeros((count, 3))

    def reset(self, angles: np.ndarray | None = None) -> None:
        """Forget the last solution, or take (A,) angles of the robot for it."""
        self._last = None if angles is None else self.hand.within_limits(np.asarray(angles, dtype=float))
        self._last_targets = np.full_like(self._last_targets, np.inf)

    def targets(self, tips_mm: np.ndarray, length_mm: float = LENGTH_MM) -> np.ndarray:
        """(5, 3) human tips -> (F, 3) where the robot's tips belong, both in millimetres."""
        size = length_mm / LENGTH_MM
        from_root = np.asarray(tips_mm, dtype=float)[self._rows] - size * KNUCKLES_MM[self._rows]
        belong: np.ndarray = self._roots + from_root * (self._ratios / size)[:, None]
        return belong

    def retarget(
        self,
        tips_mm: np.ndarray,
        joints: np.ndarray | None = None,
        length_mm: float = LENGTH_MM,
        pinch: np.ndarray | None = None,
    ) -> np.ndarray:
        """The robot's joints for one frame.

        Args:
            tips_mm: (5, 3) fingertips in the palm frame, in the order of `human_hand.FINGERS`.
            joints: (25,) human joints in radians, in the order of `human_hand.JOINT_NAMES`; NaN where unknown, or None.
                A wrist that is not known stays where it was.
            length_mm: of the human hand, wrist to tip of the middle finger.
            pinch: (4,) 0..1, how surely the thumb touches the index … the little finger: tips that are a centimetre off
                do not tell. None: by the tips alone.

        Returns:
            (A,) radians within the hand's limits, in the order of its `names`.

        Raises:
            ValueError: wrong shapes, or tips or pinches that are not finite (a fault of the caller's).
        """
        tips_mm = np.asarray(tips_mm, dtype=float)
        if tips_mm.shape != (5, 3) or not np.isfinite(tips_mm).all():
            raise ValueError(f"tips_mm must be (5, 3) finite millimetres, not {tips_mm.shape}")
        if joints is not None and np.shape(joints) != (len(JOINT_NAMES),):
            raise ValueError(f"joints must be ({len(JOINT_NAMES)},), not {np.shape(joints)}")
        if pinch is not None and not (np.shape(pinch) == (4,) and np.isfinite(pinch).all()):
            raise ValueError(f"pinch must be (4,) finite numbers, not {pinch!r:.60}")
        # What no fingertip tells and the human joints do not, either, stays: a wrist that is not known is not at rest.
        unknown = None if self._last is None else np.where(self._moves_tips, self.hand.rest, self._last)
        alike = self._alike.angles(joints, unknown)
        if not len(self._rows):
            self._last = alike
            return alike.copy()
        targets = self.targets(tips_mm, length_mm)
        jumped = self._last is None or np.abs(targets - self._last_targets).max() > 40.0
        start = alike if self._last is None else self._last
        start = np.where(self._moves_tips, start, alike)  # a wrist follows at once
        goal, weights = self._vector_goals(tips_mm, targets, pinch, joints)
        to_alike = np.where(self._alike.follows & (joints is not None), self.weights.human, self.weights.rest)
        angles = self._solve(start, alike, to_alike**2, goal, weights, self.iterations * (5 if jumped else 1))
        self._last, self._last_targets = angles, targets
        return angles.copy()

    def _vector_goals(
        self, tips_mm: np.ndarray, targets: np.ndarray, pinch: np.ndarray | None, joints: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(V, 3) goals of the vectors and (V,) their weights."""
        w = self.weights
        tips = tips_mm[self._rows]
        between = tips[:1] - tips[self._pairs]  # (P, 3)
        distance = np.sqrt((between**2).sum(-1))
        closed = np.clip((w.pinch_none_mm - distance) / (w.pinch_none_mm - w.pinch_full_mm), 0.0, 1.0)
        if pinch is not None and len(closed):
            seen = np.asarray(pinch, dtype=float)[self._rows[self._pairs] - 1]
            closed = np.maximum(closed, np.clip((seen - w.pinch_unsure) / (w.pinch_sure - w.pinch_unsure), 0.0, 1.0))
        if joints is not None and len(closed):
            # The thumb does not reach past a finger that is curled.
            curled = np.maximum.accumulate(np.asarray(joints, dtype=float)[_FLEXIONS].sum(axis=1))
            curled = curled[self._rows[self._pairs] - 1]
            open_enough = (w.fist_curled_rad - curled) / (w.fist_curled_rad - w.pinch_curled_rad)
            closed = closed * np.nan_to_num(np.clip(open_enough, 0.0, 1.0), nan=1.0)
        closed = closed * closed * (3 - 2 * closed)  # without a step where a pinch begins
        ratio = 0.5 * (self._ratios[:1] + self._ratios[self._pairs])
        apart = between * (ratio * (1 - closed))[:, None]
        of_tips = np.ones(len(tips))
        if len(closed):
            of_tips[self._pairs] = 1 - (1 - w.pinch_tip) * closed
            of_tips[0] = 1 - (1 - w.pinch_tip) * closed.max()
        return (
            np.concatenate([targets, apart]),
            np.concatenate([of_tips, w.apart + (w.pinch - w.apart) * closed]),
        )

    def _solve(
        self,
        start: np.ndarray,
        alike: np.ndarray,
        to_alike: np.ndarray,
        goal: np.ndarray,
        weights: np.ndarray,
        iterations: int,
    ) -> np.ndarray:
        w = self.weights
        to_last = np.where(self._moves_tips, w.last**2, 0.0)
        pull = to_alike + to_last
        centre = (to_alike * alike + to_last * start) / pull
        weighted = self._vectors * weights[:, None]  # (V, F)
        goal = goal * weights[:, None]
        count, size = len(self._rows), len(start)
        diagonal = np.arange(size)

        def state(angles: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            tips, motion = self.tips.motion(angles)
            residual = (weighted @ tips - goal).ravel()
            slope = (weighted @ motion.reshape(count, 3 * size)).reshape(len(residual), size)
            off = angles - centre
            cost = residual @ residual + pull @ (off * off)
            gradient = residual @ slope + pull * off
            bend = slope.T @ slope
            bend[diagonal, diagonal] += pull
            if len(self._above):
                over = self._above @ angles
                rows = self._above[over > 0] * w.not_above
                if len(rows):
                    over = over[over > 0] * w.not_above
                    cost += over @ over
                    gradient += over @ rows
                    bend += rows.T @ rows
            return float(cost), gradient, bend

        angles: np.ndarray = np.clip(start, self._lower, self._upper)
        cost, gradient, bend = state(angles)
        damping = 30.0  # mm² per rad²; a fingertip moves 50 mm per radian
        for _ in range(iterations):
            held = ((angles <= self._lower) & (gradient > 0)) | ((angles >= self._upper) & (gradient < 0))
            free = (~held).astype(float)
            matrix = bend * free[:, None] * free
            matrix[diagonal, diagonal] += damping + held
            step = np.linalg.solve(matrix, gradient * free)
            tried = np.minimum(np.maximum(angles - step, self._lower), self._upper)
            new_cost, new_gradient, new_bend = state(tried)
            if new_cost < cost:
                moved = float(np.abs(tried - angles).max())
                angles, cost, gradient, bend = tried, new_cost, new_gradient, new_bend
                damping *= 0.2
                if moved < 4e-3:
                    break
            else:
                damping *= 8.0
                if damping > 1e7:
                    break
        return self.hand.within_limits(angles)
