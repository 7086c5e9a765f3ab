"""Frames of the MuJoCo simulator with the truth that frames of people have."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")
pytest.importorskip("mujoco", reason="grasps need MuJoCo (extra `sim`)")
pytest.importorskip("anny", reason="people need anny (extra `sim`)")
pytest.importorskip("moderngl", reason="pictures need moderngl (extra `sim`)")

from tiae_ros.errors import ParameterError
from tiae_training.world import shards
from tiae_training.world.grasp_scenes import frames_of_grasp_scene
from tiae_training.world.scene import WorldSettings

SETTINGS = WorldSettings(seed=3, width=320, height=240, views=3, people=(0, 100), mujoco_share=1.0, clean=True)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def frames():
    return [frame for number in range(6) for frame in frames_of_grasp_scene(SETTINGS, number)]


def test_labels_owners_and_truth_agree(frames):
    shown = [frame for frame in frames if frame.hands]
    assert len(shown) >= 10
    for frame in shown:
        (hand,) = frame.hands
        assert np.array_equal(frame.owner > 0, frame.labels > 0)
        assert hand.shown_px == (frame.labels == 1).sum()
        assert hand.joints.shape == (25,)
        assert 0.12 < hand.size_m < 0.25
        assert np.linalg.norm(hand.view) == pytest.approx(1)
        assert hand.holds == bool((frame.labels == 2).any())
        assert 0.02 < np.linalg.norm(hand.tips_mm, axis=1).max() / 1000 < 0.25


def test_the_middle_lies_on_the_hand_and_the_arm_behind_it(frames):
    on, along = [], []
    for frame in frames:
        for hand in frame.hands:
            ys, xs = np.nonzero(frame.labels == 1)
            unit = frame.k[0, 0] / hand.distance_m
            off = np.hypot(xs.mean() - hand.middle_px[0], ys.mean() - hand.middle_px[1]) / unit
            on.append(off)
            ys, xs = np.nonzero(frame.labels == 3)
            if len(xs) > 200:
                way = np.array([xs.mean() - hand.middle_px[0], ys.mean() - hand.middle_px[1]])
                along.append(way @ hand.arm_px / np.linalg.norm(way))
    assert np.median(on) < 0.04  # metres
    assert len(along) >= 5
    assert np.median(along) > 0.9


def test_a_left_hand_is_told_as_its_mirror_image(frames):
    """The thumb's tip lies on the thumb's side, which is y of a right hand."""
    hands = [hand for frame in frames for hand in frame.hands]
    assert {hand.left for hand in hands} == {True, False}
    assert all(hand.tips_mm[0, 1] > hand.tips_mm[4, 1] for hand in hands)


def test_a_share_of_the_scenes_is_the_other_simulators(monkeypatch):
    monkeypatch.setattr(shards, "frames_of_scene", lambda *_: iter(["people"]))
    monkeypatch.setattr("tiae_training.world.grasp_scenes.frames_of_grasp_scene", lambda *_: iter(["grasp"]))
    half = WorldSettings(mujoco_share=0.5)
    drawn = [next(iter(shards._frames(half, number, None))) for number in range(200)]
    assert 70 < drawn.count("grasp") < 130
    assert drawn == [next(iter(shards._frames(half, number, None))) for number in range(200)]
    assert next(iter(shards._frames(WorldSettings(), 0, None))) == "people"
    with pytest.raises(ParameterError, match="mujoco_share is 2"):
        WorldSettings(mujoco_share=2)
