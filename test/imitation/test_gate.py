"""States of the gate, each with its reason; and the imitator from enabling to a hand that is gone."""

from __future__ import annotations

import numpy as np
import pytest

from tiae_ros.imitation.gate import Gate, GateSettings, Observation, State
from tiae_ros.imitation.imitator import Imitator
from tiae_ros.imitation.robot_hand import load_hand

pytestmark = pytest.mark.timeout(60)
TIPS = np.array([[100.0, 70, -30], [170, 35, 0], [185, 10, 0], [175, -15, 0], [150, -40, -5]])

AHEAD = "the frame's stamp is 2.00 s ahead of the clock; do both use one clock?"
SPREAD = "the joints are known to 57 degrees only; accepted are 29"


def gate(**settings):
    made = Gate(GateSettings(**{"sure_frames": 1, **settings}))
    made.enabled = True
    return made


@pytest.mark.parametrize(
    ("observation", "state", "reason"),
    [
        (Observation(10.0, TIPS), State.FOLLOWING, ""),
        (Observation(10.0, TIPS, np.full(25, np.nan)), State.FOLLOWING, ""),
        (None, State.STALE, "no hand for more than 0.5 s"),
        (Observation(8.0, TIPS), State.STALE, "the frame is 2.00 s old; accepted are 0.5 s"),
        (Observation(12.0, TIPS), State.STALE, AHEAD),
        (Observation(np.nan, TIPS), State.STALE, "the frame has no stamp"),
        (Observation(10.0, TIPS * np.nan), State.UNSURE, "the fingertips are not finite"),
        (Observation(10.0, TIPS[:4]), State.UNSURE, "the fingertips are not finite"),
        (Observation(10.0, TIPS * 10), State.UNSURE, "a fingertip is more than a metre away from its wrist"),
        (Observation(10.0, TIPS, np.zeros(21)), State.UNSURE, "there are not 25 joints"),
        (Observation(10.0, TIPS, np.full(25, np.inf)), State.UNSURE, "a joint is infinite"),
        (Observation(10.0, TIPS, pinch=np.full(4, np.nan)), State.UNSURE, "the pinches are not four finite numbers"),
        (Observation(10.0, TIPS, pinch=np.zeros(5)), State.UNSURE, "the pinches are not four finite numbers"),
        (Observation(10.0, TIPS, length_mm=np.nan), State.UNSURE, "the hand is nan mm long; accepted are 80 … 300"),
        (Observation(10.0, TIPS, known=False), State.UNSURE, "this is unlike any hand that the model has learnt"),
        (Observation(10.0, TIPS, spread_rad=1.0), State.UNSURE, SPREAD),
    ],
)  # fmt: skip
def test_each_state_says_why(observation, state, reason):
    verdict = gate().decide(observation, 10.0)
    assert (verdict.state, verdict.reason) == (state, reason)


def test_disabled_comes_first():
    assert Gate().decide(Observation(10.0, TIPS), 10.0).state is State.DISABLED


def test_a_missed_frame_is_held_and_a_lost_hand_is_stale():
    one = gate()
    assert one.decide(Observation(10.0, TIPS), 10.0).state is State.FOLLOWING
    assert one.decide(None, 10.3).reason == "no hand in this frame"
    assert one.decide(None, 10.6).state is State.STALE
    assert one.decide(None, 9.0).state is State.STALE  # the clock went back


def test_it_has_to_be_sure_again():
    one = gate(sure_frames=3)
    states = [one.decide(Observation(t, TIPS, known=t != 13.0), t).state.value for t in np.arange(10.0, 18.0)]
    assert states == ["holding", "holding", "following", "unsure", "holding", "holding", "following", "following"]


@pytest.mark.parametrize(
    ("lost_frames", "seen", "states"),
    [
        (1, "hhh.h.hh..hhh", "1 2 F . F . F F . . 1 2 F"),  # two in a row may be another hand
        (0, "hhh.hhh", "1 2 F . 1 2 F"),
        (1, "hh.h..hhh", "1 2 . F . . 1 2 F"),  # a lost frame while it is not yet sure
        (2, "hhh..h...h", "1 2 F . . F . . . 1"),
    ],
)
def test_how_many_frames_may_be_lost(lost_frames, seen, states):
    one = gate(sure_frames=3, lost_frames=lost_frames)
    shown = []
    for k, there in enumerate(seen):
        now = 10.0 + k / 30
        verdict = one.decide(Observation(now, TIPS) if there == "h" else None, now)
        if verdict.state is State.FOLLOWING:
            shown.append("F")
        else:
            assert verdict.state is State.HOLDING
            shown.append("." if there == "." else verdict.reason.split()[4])
    assert " ".join(shown) == states


def test_a_stamp_ahead_of_the_clock_is_seen_now():
    one = gate()
    assert one.decide(Observation(10.1, TIPS), 10.0).state is State.FOLLOWING
    assert one.decide(None, 10.02).reason == "no hand in this frame"
    assert one.decide(None, 10.55).state is State.STALE  # counted from when it was seen


def test_from_enabling_to_a_hand_that_is_gone():
    hand = load_hand("inspire")
    imitator = Imitator(hand, gate=GateSettings(sure_frames=1))
    assert imitator.step(Observation(1.0, TIPS), 1.0, hand.rest).reason == "it is not enabled"
    imitator.enabled = True
    assert imitator.step(Observation(1.1, TIPS), 1.1).reason == "waiting for the robot's joint state"
    robot = hand.rest + 0.2
    first = imitator.step(Observation(1.2, TIPS), 1.2, robot)
    np.testing.assert_array_equal(first.angles, robot)
    assert imitator.step(Observation(1.2, TIPS), 1.2, robot).reason == "no newer frame"
    assert imitator.step(None, 1.3, robot).state is State.HOLDING
    assert imitator.step(Observation(1.35, TIPS), 1.35, robot).state is State.FOLLOWING
    assert imitator.step(None, 3.0, robot).state is State.STALE
    moved = hand.rest + 0.4  # by somebody else meanwhile
    np.testing.assert_array_equal(imitator.step(Observation(3.1, TIPS), 3.1, moved).angles, moved)
    imitator.enabled = False
    assert imitator.step(Observation(3.2, TIPS), 3.2, moved).angles is None


def test_a_robot_that_never_tells_its_joints():
    hand = load_hand("leap")
    imitator = Imitator(hand, gate=GateSettings(sure_frames=1), starts_at_rest=True)
    imitator.enabled = True
    np.testing.assert_array_equal(imitator.step(Observation(1.0, TIPS), 1.0).angles, hand.rest)
    last = [imitator.step(Observation(t, TIPS), t).angles for t in 1.0 + np.arange(1, 20) / 30][-1]
    imitator.step(None, 9.0)
    np.testing.assert_array_equal(imitator.step(Observation(9.1, TIPS), 9.1).angles, last)
