"""Wanted angles -> targets a robot hand may be given: within limits of angle, speed and acceleration, or nothing.

Between two targets that follow each other at stamps t and t + dt, each joint moves by v dt, where v is at most its
speed limit and differs from the v before by at most its acceleration times dt. A joint may always brake in time: v is
chosen so that |v| dt + v² / 2a is at most the way left to its limit, which is more than a joint needs that slows down
by a dt at each step, however long the steps are.

A joint with `not_above` brakes as hard as the one it must not exceed, with the lower acceleration of both. Where both
would come to rest is then in the same order as where they are, now and after every step: a follower goes no faster
than that allows, and its leader waits where the follower cannot get out of the way in time.

After `hold`, and where stamps are farther apart than `gap_s`, the joints start from standstill: the controller has held
them at the last target meanwhile. Such a step is no longer than `gap_s`, so slow streams and lost frames are followed
slowly. After a longer pause, or when time goes back, the first target is the last one again.
Nothing but `start` makes a first target, so there are no zeros out of nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiae_ros.errors import ParameterError
from tiae_ros.imitation.one_euro import OneEuro
from tiae_ros.imitation.robot_hand import RobotHand

_SAME_STAMP_S = 1e-9  # stamps have no finer steps, and a speed over less may not be finite


@dataclass(frozen=True)
class SafetySettings:
    """How carefully targets move."""

    speed_share: float = 1.0  # of the hand's speed limits
    ramp_s: float = 1.0  # after a start the speed limit rises for so long
    gap_s: float = 0.25  # the longest step: targets farther apart are a step of so long, from standstill
    pause_s: float = 1.5  # stamps farther apart, or going back, are a new start from the last target
    start_tolerance_rad: float = 0.35  # a robot may report joints so far outside its limits
    cutoff_hz: float = 0.5  # of the one-euro filter
    beta: float = 3.0  # of the one-euro filter, Hz per rad/s
    noise_rad: float = 0.02  # of a still hand's joints, which does not raise the cut-off

    def __post_init__(self) -> None:
        ranges = {
            "speed_share": (0.01, 1.0), "ramp_s": (0.0, 60.0), "gap_s": (0.02, 2.0), "pause_s": (0.02, 60.0),
            "start_tolerance_rad": (0.0, 1.0), "cutoff_hz": (0.01, 1e3), "beta": (0.0, 1e3), "noise_rad": (0.0, 0.5),
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
        self._followers, self._leaders = hand.not_above
        self._fastest, self._hardest = hand.speed * self.settings.speed_share, hand.acceleration.copy()
        np.minimum.at(self._hardest, self._leaders, self._hardest[self._followers])
        np.minimum.at(self._hardest, self._followers, self._hardest[self._leaders])
        self._filter = OneEuro(self.settings.cutoff_hz, self.settings.beta, noise=self.settings.noise_rad)
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
        above = angles[self._followers] - angles[self._leaders]
        if above.size and above.max() > self.settings.start_tolerance_rad:
            worst = int(above.argmax())
            follower, leader = self._followers[worst], self._leaders[worst]
            return (
                f"the robot's {self.hand.names[follower]} is at {angles[follower]:.2f} rad, above "
                f"{self.hand.names[leader]} at {angles[leader]:.2f} rad, which its not_above excludes; is this the "
                "hand's file?"
            )
        self.stop()
        self._place = self.hand.within_limits(angles)
        return ""

    def stop(self) -> None:
        """Forget where the robot is; it has to be started again."""
        self._place = None
        self._moving_s = 0.0
        self._stamp_s = None
        self._filter.reset()
        self.hold()

    def hold(self) -> None:
        """No target now: the robot comes to rest at the last one."""
        self._speed = np.zeros_like(self._lower)

    def step(self, wanted: np.ndarray, stamp_s: float) -> np.ndarray | None:
        """The next target, (A,) radians, or None: not started, not finite, or no newer stamp than the last."""
        if self._place is None:
            return None
        wanted = np.asarray(wanted, dtype=float)
        if wanted.shape != self._lower.shape or not np.isfinite(wanted).all() or not math.isfinite(stamp_s):
            self.hold()
            return None
        if self._stamp_s is not None and abs(stamp_s - self._stamp_s) < _SAME_STAMP_S:
            return None
        dt_s = math.inf if self._stamp_s is None else stamp_s - self._stamp_s
        wanted = self.hand.within_limits(wanted)
        self._stamp_s = stamp_s
        if not 0 < dt_s <= self.settings.pause_s:
            # What has happened since the last target is not known: it stays there for this one.
            self.hold()
            self._moving_s = 0.0
            self._filter.reset()
            self._filter.step(wanted, 1.0)
            return self._place.copy()
        filtered = self._filter.step(wanted, dt_s)
        step_s = min(dt_s, self.settings.gap_s)
        if step_s < dt_s:
            self.hold()
        self._move(filtered, step_s)
        self._speed *= step_s / dt_s  # as the controller sees it
        return self._place.copy()

    def _move(self, wanted: np.ndarray, dt_s: float) -> None:
        assert self._place is not None
        wanted = self.hand.within_limits(wanted)
        self._moving_s += dt_s
        ramp = 1.0 if self.settings.ramp_s <= 0 else min(max(self._moving_s / self.settings.ramp_s, 0.05), 1.0)
        way = wanted - self._place
        speed = np.sign(way) * np.minimum(self._stoppable(np.abs(way), dt_s), self._fastest * ramp)
        change = self._hardest * dt_s
        speed = np.clip(speed, self._speed - change, self._speed + change)
        speed = np.minimum(speed, self._stoppable(self._upper - self._place, dt_s))
        speed = np.maximum(speed, -self._stoppable(self._place - self._lower, dt_s))
        speed = np.clip(speed, -self._fastest, self._fastest)
        if len(self._followers):
            speed = self._in_order(speed, dt_s)
        self._place, self._speed = self.hand.within_limits(self._place + speed * dt_s), speed

    def _in_order(self, speed: np.ndarray, dt_s: float) -> np.ndarray:
        """Speeds with which no joint gets above its `not_above`, in this step and while both brake.

        Each joint's speed stays between the one that is asked for and that of full braking, so what holds for both of
        these (speed, acceleration, its own limits) holds for it. Full braking alone keeps the order.
        """
        assert self._place is not None
        place, hardest, speed = self._place, self._hardest, speed.copy()
        follower, leader = self._followers, self._leaders
        braking = np.sign(self._speed) * np.maximum(np.abs(self._speed) - hardest * dt_s, 0.0)

        def most(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """The speeds with which ``one`` is beside ``other`` after this step, and comes to rest where it does."""
            v, apart, a = speed[other], place[other] - place[one], hardest[one]
            rests = apart + v * dt_s + v * np.abs(v) / (2 * a)  # way to where the other comes to rest
            return v + apart / dt_s, np.sign(rests) * _stoppable(np.abs(rests), a, dt_s)

        wanted, slow = speed[follower], np.minimum(speed, braking)[follower]
        speed[follower] = np.clip(np.minimum(*most(follower, leader)), slow, wanted)
        least = np.maximum(*most(leader, follower))
        np.maximum.at(speed, leader, np.minimum(least, np.maximum(speed, braking)[leader]))
        return speed

    def _stoppable(self, way: np.ndarray, dt_s: float) -> np.ndarray:
        return _stoppable(np.maximum(way, 0.0), self._hardest, dt_s)


def _stoppable(way: np.ndarray, acceleration: np.ndarray, dt_s: float) -> np.ndarray:
    """The highest speed v >= 0 with v dt + v² / 2a <= way."""
    # a (sqrt(dt² + 2 way / a) - dt), written so that nothing cancels for small ways
    return np.asarray(2 * way / (dt_s + np.sqrt(dt_s**2 + 2 * way / acceleration)))
