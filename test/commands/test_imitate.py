"""`tiae imitate run` on recordings, and `tiae demo imitate`: the closed loop on real processes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx", reason="small models are made with onnx, which is not installed")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from made_hand_pose import AT_REST, make_hand_pose
from synthetic_scenes import make_scene, moved, write_bag

from tiae_ros.cli import main
from tiae_ros.imitation.robot_hand import load_hand

HAND = load_hand("shadow")


@pytest.fixture(scope="module")
def hand_pose(tmp_path_factory):
    """A hand pose model of the shipped auto-encoder that trusts every window."""
    return make_hand_pose(
        tmp_path_factory.mktemp("pose") / "linear",
        slope=1e-4,
        novelty_max=1e6,
        rest={**AT_REST, "joint_spread": 0.05, "tips_mm": 100.0},
    )


def test_a_bag_and_windows_give_targets_within_limits(tmp_path, hand_pose, capsys):
    rng = np.random.default_rng(0)
    images = rng.random((12, 3, 32, 32), dtype=np.float32)
    np.savez(tmp_path / "windows.npz", images=images, details=np.zeros((12, 3, 80, 80), np.uint8))
    words = ["imitate", "run", str(tmp_path / "windows.npz"), "--hand-pose-model", str(hand_pose)]
    assert main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["holding"] * 2 + ["following"] * 10
    assert lines[0]["targets"] == {}
    assert list(lines[-1]["targets"]) == list(HAND.names)
    assert main([*words, "--out", str(tmp_path / "targets.npz")]) == 0
    with np.load(tmp_path / "targets.npz") as made:
        targets, names = made["targets"], made["names"]
    assert names.tolist() == list(HAND.names)
    assert np.isnan(targets[:2]).all()
    assert ((HAND.lower <= targets[2:]) & (targets[2:] <= HAND.upper)).all()
    np.testing.assert_allclose(targets[-1], list(lines[-1]["targets"].values()), atol=1e-6)
    assert main([*words, "--out", str(tmp_path / "targets.npz")]) == 2
    assert "--overwrite to replace it" in capsys.readouterr().err
    np.savez(tmp_path / "coarse.npz", images=images)
    assert main([*words[:2], str(tmp_path / "coarse.npz"), *words[3:]]) == 2
    assert "reads hands in detail, and these windows come without" in capsys.readouterr().err
    scene = make_scene()
    write_bag(tmp_path / "bag", [scene, moved(scene, 10, 0), make_scene(hand=False)])
    capsys.readouterr()
    assert main(["imitate", "run", str(tmp_path / "bag"), "--hand-pose-model", str(hand_pose)]) == 0
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert len(states) == 3
    assert set(states) <= {"holding", "stale"}


@pytest.mark.timeout(240)
def test_the_closed_loop_runs_to_its_end(tmp_path, hand_pose):
    for package, extra in (("rclpy", "ros"), ("mujoco", "sim"), ("gymnasium_robotics", "imitate")):
        if not importlib.util.find_spec(package):
            pytest.skip(f"the extra `{extra}` is not installed")
    from ros_processes import environment

    words = [sys.executable, "-m", "tiae_ros.cli", "demo", "imitate", "--out", "out", "--rate-hz", "6", "--rate", "0.7",
             "--gestures", "open", "index", "hidden", "--hand-pose-model", hand_pose]  # fmt: skip
    ended = subprocess.run(
        [*map(str, words)], cwd=tmp_path, env={**os.environ, **environment()}, capture_output=True, text=True,
        timeout=220, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["frames"] == 24
    assert table["of these with a joint target"] >= 5
    assert table["pinches"] == 1
    assert table["joint targets while hidden"] == 0
    assert table["the robot's joints move while hidden, degrees"] < 1
    for name in ("imitation.webp", "sheet.png", "joints.npz"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
