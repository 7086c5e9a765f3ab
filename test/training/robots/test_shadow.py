"""The Shadow hand in MuJoCo is the one of config/hands/shadow.yaml, and goes where it is told."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the extra `sim` is not installed: pip install -e '.[sim]'")
if not importlib.util.find_spec("gymnasium_robotics"):
    pytest.skip("the extra `imitate` is not installed: pip install -e '.[imitate]'", allow_module_level=True)

from human_fingers import TIPS, random_pinches

from tiae_ros.errors import HandError, MissingExtraError
from tiae_ros.imitation.fingertips import Fingertips
from tiae_ros.imitation.human_hand import FINGERS
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import load_hand
from tiae_training.robots import shadow
from tiae_training.robots.closed_loop import Track, measure
from tiae_training.robots.shadow import SimulatedShadow

HAND = load_hand("shadow")


@pytest.fixture(scope="module")
def robot() -> SimulatedShadow:
    return SimulatedShadow(HAND)


def test_its_fingertips_are_those_of_the_file(robot):
    tips = Fingertips(HAND)
    for angles in np.random.default_rng(0).uniform(HAND.lower, HAND.upper, (50, len(HAND.names))):
        robot.place(angles)
        np.testing.assert_allclose(robot.angles, angles)
        assert np.abs(robot.tips_mm() - tips.positions(angles)).max() < 2.0


def test_motors_bring_it_where_it_is_told(robot):
    robot.place(HAND.rest)
    bends = np.array([not name.endswith(("FJ4", "THJ5")) for name in HAND.names])  # fingers that spread would touch
    goal = HAND.within_limits(HAND.rest + 0.3 * bends)
    robot.aim(goal)
    robot.step(0.5)
    assert np.abs(robot.angles - goal).max() < np.radians(3)
    for _ in range(5):
        robot.step(0.1)
        assert np.abs(robot.angles - goal).max() < np.radians(3)  # it holds


def test_a_pinch_ends_with_both_ends_on_each_other(robot):
    retargeting = Retargeting(HAND)
    for finger, joints in random_pinches(6, 1):
        retargeting.reset()
        robot.place(HAND.rest)
        robot.aim(retargeting.retarget(TIPS.positions(joints), joints))
        robot.step(1.5)
        assert -4.0 < robot.gaps_mm()[finger - 1] < 3.0


def test_left_hands_are_mirror_images(robot):
    left = SimulatedShadow(load_hand("shadow", "left"))
    for one in (robot, left):
        one.place(HAND.rest)
    np.testing.assert_allclose(left.tips_mm(), robot.tips_mm())
    here, there = robot.picture().astype(int), left.picture()[:, ::-1]
    assert here.std() > 10
    assert np.abs(here - there).mean() < 1
    left.close()
    robot.close()


def test_what_cannot_be_simulated_is_said(monkeypatch):
    with pytest.raises(HandError, match="allegro cannot be simulated; accepted is shadow"):
        SimulatedShadow(load_hand("allegro"))
    monkeypatch.setattr(shadow.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[imitate\]'"):
        SimulatedShadow(HAND)


def test_the_table_of_a_robot_that_is_late(robot):
    """Truth is a pinch of the index finger and back; the robot does what retargeting gives, 0.2 s later."""
    joints = next(joints for finger, joints in random_pinches(20, 1) if FINGERS[finger] == "index")
    share = np.concatenate([np.linspace(0, 1, 15), np.ones(10), np.linspace(1, 0, 15), np.zeros(10)])
    human = share[:, None] * joints
    stamp_ns = 10**9 + np.arange(len(share)) * 50_000_000
    hidden = np.arange(len(share)) >= 45
    truth = {
        "stamp_ns": stamp_ns,
        "joints": human,
        "tips_mm": TIPS.positions(human),
        "length_mm": np.full(len(share), 187.0),
        "pinch": np.where(share == 1, "index", ""),
        "hidden": hidden,
        "labels": (~hidden).astype(np.uint8)[:, None, None],
    }
    retargeting = Retargeting(HAND)
    ideal = np.array([retargeting.retarget(tips, one) for tips, one in zip(truth["tips_mm"], human, strict=True)])
    stamps = stamp_ns * 1e-9
    states = {stamp: "stale" if gone else "following" for stamp, gone in zip(stamps, hidden, strict=True)}
    table = measure(HAND, robot, truth, Track(stamps + 0.2, ideal), Track(stamps[~hidden], ideal[~hidden]), states)
    assert table["lag, s"] == pytest.approx(0.2)
    assert table["of these with a joint target"] == 45
    assert table["tip error, mm (median)"] == pytest.approx(table["floor of the tip error, mm (median)"], abs=0.3)
    assert table["pinches"] == table["pinches made (surfaces within 8 mm)"] == 1
    assert table["pinches told (tips of the targets within 8 mm)"] == 1
    assert table["joint targets while hidden"] == 0
    assert table["states while hidden"] == {"stale": 5}
    late = measure(HAND, robot, truth, Track(stamps + 0.2, 0 * ideal), Track(stamps[:2], ideal[:2]), states)
    assert late["pinches made (surfaces within 8 mm)"] == 0
