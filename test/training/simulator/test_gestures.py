"""An empty hand's motion, and what is said to be true of it."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the extra `sim` is not installed: pip install -e '.[sim]'")

from tiae_ros.errors import ParameterError
from tiae_training.simulator.gestures import render_gestures
from tiae_training.simulator.hand import FINGERS
from tiae_training.simulator.simulator import SimulatorSettings

SETTINGS = SimulatorSettings(seed=0, width=160, height=120)


@pytest.mark.parametrize("left", [False, True])
def test_pinching_tips_touch_and_a_hidden_hand_is_not_seen(left):
    seen = list(render_gestures(SETTINGS, ("open", "index", "little", "hidden"), rate_hz=4.0, left=left))
    pinches = {one.pinch for one in seen} - {""}
    assert pinches == {"index", "little"}
    for one in seen:
        palm = one.sample.palm
        assert palm.left == left
        if one.pinch:
            apart = palm.tips_mm[0] - palm.tips_mm[1 + FINGERS.index(one.pinch)]
            assert np.linalg.norm(apart) < 5
        assert (one.sample.labels == 1).any() or one.hidden
    assert not (seen[-1].sample.labels == 1).any()
    columns = np.argwhere(seen[0].sample.labels == 1)[:, 1]
    assert 40 < columns.mean() < 120  # in the middle of the picture


def test_unknown_gestures_are_refused():
    with pytest.raises(ParameterError, match="gesture wave is not known; accepted are open, fist, hidden, index"):
        next(render_gestures(SETTINGS, ("open", "wave")))


def test_an_absent_hand_pose_model_is_said_before_anything_is_rendered(tmp_path, capsys):
    from tiae_ros.cli import main

    assert main(["demo", "imitate", "--hand-pose-model", "nowhere", "--out", str(tmp_path / "out")]) == 2
    assert "there is no model 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_scene_that_was_not_rendered_whole_is_rendered_again(tmp_path, monkeypatch):
    """`tiae demo imitate`: the note of what a scene was made by goes before the scene does."""
    from tiae_ros.commands import demo_imitate
    from tiae_training.simulator import gestures

    parser = argparse.ArgumentParser()
    demo_imitate.add_arguments(parser)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "scene").mkdir()
    (tmp_path / "scene_truth.npz").touch()
    (tmp_path / "scene.json").write_text("{}")
    monkeypatch.setattr(gestures, "write_gestures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo_imitate._scene(parser.parse_args(["--out", str(tmp_path)]))
    assert not (tmp_path / "scene.json").exists()
