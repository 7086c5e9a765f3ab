"""How well a robot hand imitated: what was true of the operator against what the robot hand did.

The *lag* is the time by which the robot's joints follow those that retargeting the truth gives, where they fit best.
The *tip error* is the distance of the robot's fingertips, that much later, from where they belong; the *floor* is that
of retargeting the truth itself, which the robot's limits leave. A pinch is *made* when the surfaces of thumb and finger
come within 8 mm while the operator's tips touch, or within the lag and a quarter of a second after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from tiae_ros.imitation.fingertips import Fingertips
from tiae_ros.imitation.human_hand import FINGERS
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import RobotHand

NEAR_MM = 8.0
_LAGS_S = np.arange(0.0, 1.01, 0.02)
_LATER_S = 0.25


class Robot(Protocol):
    """A simulated robot hand."""

    def place(self, angles: np.ndarray) -> None:
        """Put it there."""

    def gaps_mm(self) -> np.ndarray:
        """(4,) between the surfaces of the thumb's end and the fingers'."""


@dataclass(frozen=True)
class Track:
    """Joints over time."""

    stamp_s: np.ndarray  # (T,)
    angles: np.ndarray  # (T, A) radians

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """(…,) seconds -> (…, A), between the samples in straight lines."""
        return np.stack([np.interp(time_s, self.stamp_s, one) for one in self.angles.T], axis=-1)


def measure(
    hand: RobotHand,
    robot: Robot,
    truth: Mapping[str, np.ndarray],
    moved: Track,
    targets: Track,
    states: Mapping[float, str],
) -> dict[str, Any]:
    """The table of one run.

    Args:
        hand, robot: the robot hand, and one that can be placed.
        truth: as `gestures.write_gestures` saves it.
        moved: where the robot's joints were; targets: what it was told.
        states: stamp in seconds -> following, holding, unsure, stale or disabled.
    """
    stamps = truth["stamp_ns"] * 1e-9
    ideal, goals = _ideal(hand, truth)
    tips = Fingertips(hand)
    told = {round(stamp, 4) for stamp in targets.stamp_s}
    shown = ~truth["hidden"]
    followed = shown & np.array([round(stamp, 4) in told for stamp in stamps])
    table: dict[str, Any] = {
        "frames": len(stamps),
        "frames that show the hand": int(shown.sum()),
        "of these with a joint target": int(followed.sum()),
        "states": dict(Counter(states.values()).most_common()),
    }
    if followed.any():
        chosen = stamps[followed]
        off = [np.abs(moved.at(chosen + lag) - ideal[followed]).mean() for lag in _LAGS_S]
        lag = float(_LAGS_S[int(np.argmin(off))])
        error = np.linalg.norm(tips.positions(moved.at(chosen + lag)) - goals[followed], axis=-1)
        floor = np.linalg.norm(tips.positions(ideal[followed]) - goals[followed], axis=-1)
        table |= {
            "lag, s": lag,
            "joint error, degrees (mean)": round(float(np.degrees(min(off))), 1),
            "tip error, mm (median)": round(float(np.median(error)), 1),
            "tip error, mm (90 %)": round(float(np.quantile(error, 0.9)), 1),
            "floor of the tip error, mm (median)": round(float(np.median(floor)), 1),
        }
        table |= _pinches(robot, tips, truth, moved, targets, lag)
    table |= _while_hidden(truth, moved, targets, states)
    return table


def _ideal(hand: RobotHand, truth: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(F, A) joints that retargeting the truth gives, and (F, 5, 3) where the tips belong."""
    retargeting = Retargeting(hand)
    rows = list(zip(truth["tips_mm"], truth["joints"], truth["length_mm"], strict=True))
    angles = [retargeting.retarget(tips, joints, float(length)) for tips, joints, length in rows]
    goals = [retargeting.targets(tips, float(length)) for tips, _, length in rows]
    return np.array(angles), np.array(goals)


def _pinches(
    robot: Robot, tips: Fingertips, truth: Mapping[str, np.ndarray], moved: Track, targets: Track, lag: float
) -> dict[str, Any]:
    stamps, number = truth["stamp_ns"] * 1e-9, 0
    made: list[bool] = []
    told: list[bool] = []
    for finger, frames in groupby(truth["pinch"].tolist()):
        first, count = number, len(list(frames))
        number += count
        if not finger:
            continue
        k = FINGERS.index(finger)
        begin, end = stamps[first], stamps[number - 1] + lag + _LATER_S
        gaps = []
        for angles in moved.at(np.arange(begin, end, 0.02)):
            robot.place(angles)
            gaps.append(float(robot.gaps_mm()[k - 1]))
        made.append(min(gaps) <= NEAR_MM)
        during = targets.angles[(targets.stamp_s >= begin) & (targets.stamp_s <= stamps[number - 1])]
        places = tips.positions(during)
        apart = np.linalg.norm(places[:, 0] - places[:, k], axis=-1)
        told.append(bool(len(apart)) and float(apart.min()) <= NEAR_MM)
    return {
        "pinches": len(made),
        "pinches made (surfaces within 8 mm)": int(sum(made)),
        "pinches told (tips of the targets within 8 mm)": sum(told),
    }


def _while_hidden(
    truth: Mapping[str, np.ndarray], moved: Track, targets: Track, states: Mapping[float, str]
) -> dict[str, Any]:
    """From the first frame without any of the hand's pixels to the last such one."""
    stamps = truth["stamp_ns"] * 1e-9
    gone = stamps[~(truth["labels"] == 1).any(axis=(1, 2))]
    if not len(gone):
        return {}
    begin, end = gone[0], gone[-1]
    within = (targets.stamp_s >= begin) & (targets.stamp_s <= end)
    # The first moments are the way to the last target.
    ways = moved.at(np.linspace(begin + 0.3, end, 20))
    return {
        "hidden, s": round(float(end - begin), 2),
        "joint targets while hidden": int(within.sum()),
        "the robot's joints move while hidden, degrees": round(float(np.degrees(np.ptp(ways, axis=0).max())), 2),
        "states while hidden": dict(Counter(state for stamp, state in states.items() if begin <= stamp <= end)),
    }
