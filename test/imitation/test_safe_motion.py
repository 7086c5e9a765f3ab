"""No sequence of inputs yields a target outside limits, too fast, too hard, or out of nowhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.errors import ParameterError
from tiae_ros.imitation.gate import GateSettings, Observation, State
from tiae_ros.imitation.hand_files import shipped_hands
from tiae_ros.imitation.imitator import FORGET_S, Imitator
from tiae_ros.imitation.one_euro import OneEuro
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.imitation.safe_motion import SafeMotion, SafetySettings

pytestmark = pytest.mark.timeout(120)
HAND = load_hand("shadow")
SMALL = load_hand("inspire")
ANY_ANGLE = st.one_of(st.floats(-4, 4), st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0]))
TIME_STEP = st.one_of(
    st.sampled_from([1 / 30, 1 / 15, 0.0, 1e-9, 1e-4, 0.2, 0.26, 1.0, 1.6, 5.0, -0.5, -1e6, np.nan, np.inf]),
    st.floats(1e-3, 0.24),
)  # fmt: skip


class Watch:
    """Looks at targets as a robot's controller does: after a gap the robot stands where the last target was."""

    def __init__(self, hand):
        self.hand = hand
        self.anew(None)

    def rest(self):
        self.speed, self.rounding = np.zeros(len(self.hand.names)), 0.0

    def anew(self, place):
        self.rest()
        self.place, self.stamp = place, None

    def see(self, place, stamp, motion):
        hand = self.hand
        assert np.isfinite(place).all()
        assert (hand.lower <= place).all()
        assert (place <= hand.upper).all()
        followers, leaders = hand.not_above
        assert (place[followers] <= place[leaders]).all()
        if self.stamp is not None and stamp - self.stamp > motion.gap_s:
            self.rest()
        if self.stamp is not None and not 0 < stamp - self.stamp <= motion.pause_s:
            self.rest()
            self.stamp = None
        if self.place is not None:
            if self.stamp is None:  # how long it has had is not known: it must not move
                speed = place - self.place
                np.testing.assert_array_equal(speed, 0.0)
            else:
                dt = stamp - self.stamp
                speed = (place - self.place) / dt
                rounding = 1e-9 + 1e-14 / dt  # of a difference of angles, divided by a time that may be a nanosecond
                assert (np.abs(speed) <= hand.speed + rounding).all()
                assert (np.abs(speed - self.speed) <= hand.acceleration * dt + rounding + self.rounding).all()
                self.rounding = rounding
            self.speed = speed
        self.place, self.stamp = place.copy(), stamp


def ordered():
    """A hand of six joints of which two follow one, and one another, with unlike limits and accelerations."""
    joints = list(SMALL.joints)
    for k, (leader, lower, speed, acceleration) in {
        0: (1, -0.1, 3.0, 5.0),
        2: (1, -0.2, 0.3, 40.0),
        4: (5, 0, 1, 2),
    }.items():
        joints[k] = dataclasses.replace(
            joints[k], not_above=joints[leader].name, lower=lower, speed=speed, acceleration=acceleration
        )
    joints[1] = dataclasses.replace(joints[1], lower=-0.1)
    return dataclasses.replace(SMALL, joints=tuple(joints))


@settings(max_examples=300, deadline=None)
@given(
    hand=st.sampled_from(["plain", "ordered"]),
    start=st.lists(st.floats(-0.17, 0.17), min_size=6, max_size=6),
    inputs=st.lists(
        st.tuples(st.one_of(st.lists(ANY_ANGLE, min_size=6, max_size=6), st.just("hold"), st.just("start")), TIME_STEP),
        max_size=40,
    ),
    cutoff_hz=st.floats(0.5, 100),
    ramp_s=st.sampled_from([0.0, 1.0]),
)
def test_targets_are_within_limits_whatever_comes(hand, start, inputs, cutoff_hz, ramp_s):
    hand = ordered() if hand == "ordered" else SMALL
    motion = SafeMotion(hand, SafetySettings(cutoff_hz=cutoff_hz, ramp_s=ramp_s))
    watch, stamp = Watch(hand), 100.0
    assert motion.step(np.zeros(6), stamp) is None  # not started: nothing, and no zeros
    assert motion.start(np.array(start)) == ""
    watch.anew(hand.within_limits(np.array(start)))
    for wanted, dt in inputs:
        stamp = stamp + dt if np.isfinite(stamp + dt) else 50.0
        if wanted == "hold":
            motion.hold()
            watch.rest()
        elif wanted == "start":
            motion.start(hand.rest)
            watch.anew(hand.rest)
        else:
            given_stamp = stamp if np.isfinite(dt) else dt
            place = motion.step(np.array(wanted), given_stamp)
            if not np.isfinite(wanted).all() or not np.isfinite(given_stamp):
                assert place is None
                watch.rest()
            if place is not None:
                watch.see(place, given_stamp, motion.settings)


EVENTS = st.one_of(
    st.sampled_from(["enable", "disable", "no hand", "unknown", "unsure", "old", "nan joints", "other robot state"]),
    st.integers(0, 10_000).map(lambda seed: ("hand", seed)),
)


@settings(max_examples=80, deadline=None)
@given(events=st.lists(st.tuples(EVENTS, TIME_STEP, st.booleans()), max_size=30))
def test_nothing_is_given_out_that_should_not_be(events):
    """The whole of it: gate, retargeting and motion, switched at any time."""
    imitator = Imitator(SMALL, gate=GateSettings(sure_frames=1))
    watch, now, robot = Watch(SMALL), 100.0, SMALL.rest + 0.1
    given_at = None
    for event, dt, tells in events:
        now = now + dt if np.isfinite(now + dt) else 50.0
        tips = np.random.default_rng(event[1] if isinstance(event, tuple) else 0).uniform(-200, 250, (5, 3))
        observation = Observation(now, tips)
        if event in ("enable", "disable"):
            imitator.enabled = event == "enable"
        elif event == "no hand":
            observation = None
        elif event == "unknown":
            observation = Observation(now, tips, known=False)
        elif event == "unsure":
            observation = Observation(now, tips, spread_rad=np.nan)
        elif event == "old":
            observation = Observation(now - 9.0, tips)
        elif event == "nan joints":
            observation = Observation(now, tips * np.nan)
        elif event == "other robot state":
            robot = np.random.default_rng(int(abs(now)) % 1000).uniform(-1, 2, 6)
        # After a long pause, or when the clock goes back, the robot is asked again where it is.
        asked = given_at is not None and not 0 <= now - given_at <= FORGET_S
        was_started = imitator.motion.started and not asked
        result = imitator.step(observation, now, robot if tells else None)
        if imitator.motion.started and not was_started:
            watch.anew(np.clip(robot, SMALL.lower, SMALL.upper))
        if result.angles is None:
            assert result.state is not State.FOLLOWING
            assert result.reason
            if result.reason != "no newer frame":  # the same frame twice is no pause
                watch.rest()
        else:
            assert result.state is State.FOLLOWING
            assert imitator.enabled
            assert event not in ("no hand", "unknown", "unsure", "old", "nan joints")
            watch.see(result.angles, now, imitator.motion.settings)
            given_at = now


@pytest.mark.parametrize("name", shipped_hands())
def test_every_hand_is_driven_within_its_limits(name):
    """Goals that jump from end to end, at uneven frame rates."""
    hand = load_hand(name, "left")
    motion, watch = SafeMotion(hand, SafetySettings(ramp_s=0.2, cutoff_hz=50.0)), Watch(hand)
    rng = np.random.default_rng(0)
    watch.anew(hand.rest)
    assert motion.start(hand.rest) == ""
    stamp, goal, seen = 5.0, hand.upper, []
    for _ in range(400):
        stamp += rng.choice([0.005, 1 / 30, 0.1, 0.24, 0.4], p=[0.3, 0.3, 0.2, 0.15, 0.05])
        if rng.random() < 0.1:
            goal = np.where(rng.random(len(goal)) < 0.5, hand.lower - 1.0, hand.upper + 1.0)
        seen.append(motion.step(goal, stamp))
        watch.see(seen[-1], stamp, motion.settings)
    assert (np.ptp(seen, axis=0) > 0.5 * (hand.upper - hand.lower)).all()  # and it does get about


def follow(motion, wanted, seconds, start_s=0.0, rate=30.0):
    stamps = start_s + np.arange(1, int(seconds * rate) + 1) / rate
    return np.array([motion.step(np.asarray(wanted, float), stamp) for stamp in stamps])


def test_it_starts_where_the_robot_is_and_gets_there():
    motion = SafeMotion(SMALL)
    robot = np.array([1.0, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert motion.start(robot) == ""
    places = follow(motion, SMALL.upper, 8.0)
    np.testing.assert_array_equal(places[0], robot)
    assert np.abs(places[1] - robot).max() < 0.5 / 30 * 0.2  # the ramp
    np.testing.assert_allclose(places[-1], SMALL.upper, atol=2e-3)
    assert (np.diff(places, axis=0) >= -1e-12).all()  # it does not swing about the goal


def test_it_brakes_in_time_and_does_not_overshoot():
    hand = HAND
    motion = SafeMotion(hand, SafetySettings(ramp_s=0.0, cutoff_hz=100.0))
    motion.start(hand.rest)
    goal = np.clip(hand.rest + 0.3, hand.lower, hand.upper)
    places = follow(motion, goal, 1.5)
    assert (places <= goal + 1e-9).all()
    np.testing.assert_allclose(places[-1], goal, atol=2e-3)


@pytest.mark.parametrize(("rate", "moved"), [(1.0, 0.8), (3.0, 1.0), (15.0, 1.0)])
def test_slow_streams_are_followed(rate, moved):
    motion, watch = SafeMotion(SMALL), Watch(SMALL)
    motion.start(SMALL.rest)
    watch.anew(SMALL.rest)
    for stamp in np.arange(1, 13 * rate) / rate:
        watch.see(motion.step(SMALL.upper, stamp), stamp, motion.settings)
    assert (watch.place - SMALL.rest >= 0.99 * moved * (SMALL.upper - SMALL.rest)).all()


def test_a_hand_seen_in_every_second_frame_is_followed():
    imitator = Imitator(SMALL, starts_at_rest=True)
    imitator.enabled = True
    tips = np.array([[60.0, 50, -60], [100, 30, -60], [100, 10, -60], [95, -10, -60], [90, -30, -60]])
    states, watch = [], Watch(SMALL)
    watch.anew(SMALL.rest)
    for k, now in enumerate(1.0 + np.arange(300) / 30):
        result = imitator.step(Observation(now, tips) if k % 2 else None, now)
        states.append(result.state)
        if result.angles is None:
            watch.rest()
        else:
            watch.see(result.angles, now, imitator.motion.settings)
    assert states.count(State.FOLLOWING) == 148
    wanted = imitator.retargeting.retarget(tips)
    assert np.abs(wanted - SMALL.rest).max() > 0.8
    np.testing.assert_allclose(watch.place, wanted, atol=0.02)


@pytest.mark.parametrize("rate", [2.0, 10.0, 30.0, 200.0])
def test_a_joint_is_never_above_the_one_it_must_not_exceed(rate):
    """Shadow's outer joints, and a hand whose leader is slower or quicker than its followers."""
    for hand in (HAND, ordered()):
        motion, watch = SafeMotion(hand, SafetySettings(ramp_s=0.0, cutoff_hz=100.0)), Watch(hand)
        motion.start(hand.rest)
        watch.anew(hand.rest)
        followers, _ = hand.not_above
        stamp = 0.0
        for goal in (hand.upper, hand.lower, hand.upper, hand.rest):
            for _ in range(int(20 * rate)):
                stamp += 1 / rate
                watch.see(motion.step(goal, stamp), stamp, motion.settings)
            reached = hand.within_limits(goal)  # the order costs time, and no way
            np.testing.assert_allclose(watch.place, reached, atol=5e-3)
        goal = hand.rest.copy()
        goal[followers] = hand.upper[followers]
        for _ in range(int(rate)):
            stamp += 1 / rate
            watch.see(motion.step(goal, stamp), stamp, motion.settings)


def test_a_time_jump_starts_anew_from_the_last_target():
    motion = SafeMotion(SMALL)
    motion.start(SMALL.rest)
    places = follow(motion, SMALL.upper, 1.0)
    np.testing.assert_array_equal(motion.step(SMALL.upper, -1000.0), places[-1])
    np.testing.assert_array_equal(motion.step(SMALL.upper, 1000.0), places[-1])
    assert motion.step(SMALL.upper, 1000.0) is None  # the same stamp again


def test_a_robot_that_is_elsewhere_is_not_started():
    motion = SafeMotion(SMALL)
    assert "joint state has 5 of 6 joints" in motion.start(np.zeros(5))
    assert "lacks ring_proximal_joint" in motion.start(np.array([0, np.nan, 0, 0, 0, 0]))
    assert "index_proximal_joint is at 3.00 rad, outside its limits 0 … 1.47" in motion.start(
        np.array([0, 0, 0, 3, 0, 0])
    )
    assert not motion.started
    assert motion.step(np.zeros(6), 1.0) is None
    shadow = SafeMotion(HAND)
    robot = HAND.rest.copy()
    robot[0] = 0.5
    assert "rh_FFJ1 is at 0.50 rad, above rh_FFJ2 at 0.00 rad, which its not_above excludes" in shadow.start(robot)


def test_settings_out_of_range():
    with pytest.raises(ParameterError, match=r"speed_share is 2\.0; it must be within 0.01 … 1"):
        SafetySettings(speed_share=2.0)
    with pytest.raises(ParameterError, match="sure_frames is 0; it must be within 1 … 1000"):
        GateSettings(sure_frames=0)


def test_the_filter_holds_still_and_keeps_up():
    rng = np.random.default_rng(0)
    still = OneEuro(cutoff_hz=2.0, beta=1.0)
    noisy = np.array([still.step(np.array([1 + 0.01 * rng.normal()]), 1 / 30) for _ in range(300)])
    assert noisy[100:].std() < 0.006
    quick = OneEuro(cutoff_hz=2.0, beta=1.0)
    path = np.arange(60) / 30 * 2.0  # 2 rad/s
    followed = np.array([quick.step(np.array([value]), 1 / 30)[0] for value in path])
    assert path[-1] - followed[-1] < 0.12  # late by less than 60 ms


def test_a_known_noise_raises_no_cut_off():
    """Stiller at rest than without it and than a quicker filter, and behind in motion by no more than it."""

    def followed(values: np.ndarray, noise: float) -> np.ndarray:
        one = OneEuro(cutoff_hz=0.5, beta=3.0, noise=noise)
        return np.array([one.step(np.array([value]), 1 / 30)[0] for value in values])

    def before(values: np.ndarray) -> np.ndarray:
        one = OneEuro(cutoff_hz=2.0, beta=1.0)
        return np.array([one.step(np.array([value]), 1 / 30)[0] for value in values])

    rests = 1 + 0.02 * np.random.default_rng(0).normal(size=(8, 300))
    known, unknown, quicker = (
        np.mean([how(rest)[100:].std() for rest in rests])
        for how in (lambda rest: followed(rest, 0.02), lambda rest: followed(rest, 0.0), before)
    )
    assert known < 0.75 * unknown
    assert known < 0.6 * quicker
    quick = np.arange(60) / 30 * 2.0
    assert quick[-1] - followed(quick, 0.02)[-1] < quick[-1] - before(quick)[-1]
    for speed in (0.05, 0.3, 2.0):  # rad/s
        path = np.arange(120) / 30 * speed
        behind = [path[-1] - followed(path, noise)[-1] for noise in (0.02, 0.0)]
        assert 0 < behind[0] < behind[1] + 0.02


def test_stamps_that_hardly_differ_are_one():
    """A speed over less than a nanosecond would be none, or not finite."""
    hand = load_hand("shadow")
    motion = SafeMotion(hand)
    assert motion.start(hand.rest) == ""
    wanted = hand.within_limits(hand.rest + 0.3)
    assert motion.step(wanted, 0.0) is not None
    for stamp_s in (5e-324, 1e-310, 1e-12):
        assert motion.step(wanted, stamp_s) is None
    target = motion.step(wanted, 0.03)
    assert target is not None
    assert np.isfinite(target).all()
