"""Wanted angles -> targets a robot hand may be given: within limits of angle, speed and acceleration, or nothing.

Between two targets that follow each other at stamps t and t + dt, each joint moves by v dt, where v is at most its
speed limit and differs from the v before by at most its acceleration times dt. A joint may always brake in time: v is
chosen so that |v| dt + v² / 2a is at most the way left to its limit, which is more than a joint needs that slows down
by a dt at each step, however long the steps are.

After a pause (`hold`) the joints start from standstill: the controller has held them at the last target meanwhile.
Nothing but `start` makes a first target, so there are no zeros out of nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiae_ros.errors import ParameterError
from tiae_ros.imitation.one_euro import OneEuro
from tiae_ros.imitation.robot_hand import RobotHand


@dataclass(frozen=True)
class SafetySettings:
    """How carefully targets move."""

    speed_share: float = 1.0  # of the hand's speed limits
    ramp_s: float = 1.0  # after a start the speed limit rises for so long
    gap_s: float = 0.25  # stamps farther apart, or going back, are a new start from the last target
    start_tolerance_rad: float = 0.35  # a robot may report joints so far outside its limits
    cutoff_hz: float = 2.0  # of the one-euro filter
    beta: float = 1.0  # of the one-euro filter, Hz per rad/s

    def __post_init__(self) -> None:
        ranges = {
            "speed_share": (0.01, 1.0), "ramp_s": (0.0, 60.0), "gap_s": (0.02, 2.0),
            "start_tolerance_rad": (0.0, 1.0), "cutoff_hz": (0.01, 1e3), "beta": (0.0, 1e3),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within {low:g} … {high:g}")


class SafeMotion:
    """The last step before a robot. A joints, in the order of the hand's `names`; stamps in seconds."""

    def __init__(self, hand: RobotHand, settings: SafetySettings | None = None) -> None:
        self.hand = hand
        self.settings = settings or SafetySettings()
        self._lower, self._upper = hand.lower, hand.upper
        self._fastest, self._hardest = hand.speed * self.settings.speed_share, hand.acceleration
        self._filter = OneEuro(self.settings.cutoff_hz, self.settings.beta)
        self._place: np.ndarray | None = None
        self._speed = np.zeros(len(self._lower))
        self._stamp_s: float | None = None
        self._moving_s = 0.0

    @property
    def started(self) -> bool:
        """Whether it knows where the robot is."""
        return self._place is not None

    def start(self, angles: np.ndarray) -> str:
        """Begin at the robot's own joints, (A,) radians; says what is wrong with them, or nothing."""
        angles = np.asarray(angles, dtype=float)
        if angles.shape != self._lower.shape:
            return f"the robot's joint state has {angles.size} of {self._lower.size} joints"
        missing = [name for name, angle in zip(self.hand.names, angles, strict=True) if not math.isfinite(angle)]
        if missing:
            return f"the robot's joint state lacks {', '.join(missing)}"
        outside = np.maximum(self._lower - angles, angles - self._upper)
        worst = int(outside.argmax())
        if outside[worst] > self.settings.start_tolerance_rad:
            return (
                f"the robot's {self.hand.names[worst]} is at {angles[worst]:.2f} rad, outside its limits "
                f"{self._lower[worst]:g} … {self._upper[worst]:g}; is this the hand's file?"
            )
        self.stop()
        self._place = np.clip(angles, self._lower, self._upper)
        return ""

    def stop(self) -> None:
        """Forget where the robot is; it has to be started again."""
        self._place = None
        self._moving_s = 0.0
        self.hold()

    def hold(self) -> None:
        """No target now: the robot comes to rest at the last one."""
        self._speed = np.zeros_like(self._lower)
        self._stamp_s = None
        self._filter.reset()

    def step(self, wanted: np.ndarray, stamp_s: float) -> np.ndarray | None:
        """The next target, (A,) radians, or None: not started, not finite, or no newer stamp than the last."""
        if self._place is None:
            return None
        wanted = np.asarray(wanted, dtype=float)
        if wanted.shape != self._lower.shape or not np.isfinite(wanted).all() or not math.isfinite(stamp_s):
            self.hold()
            return None
        if stamp_s == self._stamp_s:
            return None
        dt_s = math.inf if self._stamp_s is None else stamp_s - self._stamp_s
        if self._stamp_s is not None and not 0 < dt_s <= self.settings.gap_s:
            self.hold()
            self._moving_s = 0.0
            dt_s = math.inf
        self._stamp_s = stamp_s
        wanted = np.clip(wanted, self._lower, self._upper)
        if dt_s == math.inf:
            # How long the robot has had since the last target is not known: it stays for this one.
            self._filter.step(wanted, 1.0)
            return self._place.copy()
        self._move(self._filter.step(wanted, dt_s), dt_s)
        return self._place.copy()

    def _move(self, wanted: np.ndarray, dt_s: float) -> None:
        assert self._place is not None
        self._moving_s += dt_s
        ramp = 1.0 if self.settings.ramp_s <= 0 else min(max(self._moving_s / self.settings.ramp_s, 0.05), 1.0)
        way = wanted - self._place
        speed = np.sign(way) * np.minimum(self._stoppable(np.abs(way), dt_s), self._fastest * ramp)
        change = self._hardest * dt_s
        speed = np.clip(speed, self._speed - change, self._speed + change)
        speed = np.minimum(speed, self._stoppable(self._upper - self._place, dt_s))
        speed = np.maximum(speed, -self._stoppable(self._place - self._lower, dt_s))
        speed = np.clip(speed, -self._fastest, self._fastest)
        place = np.clip(self._place + speed * dt_s, self._lower, self._upper)
        self._place, self._speed = place, speed

    def _stoppable(self, way: np.ndarray, dt_s: float) -> np.ndarray:
        """The highest speed v >= 0 with v dt + v² / 2a <= way."""
        harder, way = self._hardest, np.maximum(way, 0.0)
        # a (sqrt(dt² + 2 way / a) - dt), written so that nothing cancels for small ways
        return np.asarray(2 * way / (dt_s + np.sqrt(dt_s**2 + 2 * way / harder)))
