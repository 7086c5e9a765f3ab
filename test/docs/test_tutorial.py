"""docs/tutorial.md: its commands, taken from the page, go from a bag to a node that says names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="the bags of the page are simulated")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")
pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from ros_processes import Process
from std_msgs.msg import String

from tiae_ros import load_model
from tiae_ros.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    tiae ")]
# What the page does in minutes is done here in seconds: the same time of the bag in fewer frames, hardly any training.
QUICKER = {
    "--count 360": "--count 72 --rate 3 --workers 1",
    "--count 60": "--count 12 --rate 3 --workers 1",
    "--epochs 150": "--epochs 2 --restarts 0 --device cpu",
    "tiae play --bag my_bag": "tiae play --bag my_bag --rate 2",
    "-p model:=runs/mine": "-p model:=runs/mine -p depth_model:=none -p device:=cpu",
}


def quicker(command: str) -> list[str]:
    for said, done in QUICKER.items():
        command = command.replace(said, done)
    return shlex.split(command)[1:]


def test_what_is_made_quicker_stands_on_the_page():
    assert all(any(said in command for command in COMMANDS) for said in QUICKER)


def test_the_readme_leads_here():
    assert "(docs/tutorial.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("traced_once")
def test_from_a_bag_to_names_on_topics(client, tmp_path, monkeypatch, capfd):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        if command.startswith("tiae ") and command.split()[1] not in ("node", "play", "view"):
            code = main(quicker(command))
            # So short a training may well end collapsed, and says so.
            assert code == 0 or (code == 1 and "collapsed" in capfd.readouterr().err), command
    assert (tmp_path / "windows.png").stat().st_size > 1000
    model = load_model(tmp_path / "runs" / "mine")
    assert dict(model.manifest.preprocessing) == {"metric_size_m": 0.3, "range_m": 0.3}
    assert set(model.manifest.prototype_names) == {"cup", "pen", "scissors"}
    assert "unknown" in model.manifest.training["names"]["others"]

    node_command, play_command = (
        next(c for c in COMMANDS if c.startswith(start)) for start in ("tiae node", "tiae play")
    )
    topic = "/tiae/grasp_label"
    client.listen(String, topic)
    node = Process(quicker(node_command), tmp_path / "node.log")
    play = None
    try:
        node.wait_for("active; listening")
        play = Process(quicker(play_command), tmp_path / "play.log")
        client.wait_for_publishers()
        client.spin_until(lambda: len({m.data for m in client.received[topic]} - {""}) >= 2, 40, "two names")
    finally:
        for process in filter(None, (play, node)):
            process.end()
            process.kill()
    assert {m.data for m in client.received[topic]} <= {"cup", "pen", "scissors", ""}
    assert not list((tmp_path / "home").rglob("*.npz"))
