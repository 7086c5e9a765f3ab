"""The demo as a stranger runs it: three processes, pictures and a table from what came over the topics."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ros_processes import environment

ROOT = Path(__file__).resolve().parents[2]


def run_demo(tmp_path, *words):
    command = [sys.executable, ROOT / "scripts" / "run_demo.py", "--out", tmp_path / "out", *words]
    return subprocess.run(
        [*map(str, command)], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100, check=False
    )


def test_a_name_belongs_to_the_grasps_before_it(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    received = importlib.import_module("run_demo").Received()
    received.arrivals["~/grasps"] = {10: 1.0, 20: 2.0, 30: 3.0}
    received.labels = [(1.01, "mug"), (2.0, "")]
    assert [received.name_at(stamp) for stamp in (10, 20, 30, 40)] == ["mug", "", "", ""]
    assert received.names == {"mug": 1}


@pytest.mark.serial
@pytest.mark.timeout(120)
def test_the_demo_ends_with_pictures_and_a_table(tmp_path):
    result = run_demo(tmp_path, "--rate", "2", "--frames", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == [*(f"frame_{i}.png" for i in range(3)), "sheet.png", "table.md"]
    row = cv2.imread(str(out / "frame_1.png"))
    # Input window, restored, input depth, restored depth; where its model is shipped, the robot hand: none is blank.
    lefts = [320, 560, 800, 1040, *([1280] if (ROOT / "models" / "hand_pose").is_dir() else [])]
    assert row.shape == (240, lefts[-1] + 240, 3)
    for left in lefts:
        assert np.unique(row[:, left : left + 240].reshape(-1, 3), axis=0).shape[0] > 4
    table = (out / "table.md").read_text()
    assert table in result.stdout
    first, *_, last = result.stdout.splitlines()
    assert "demo: grasps is played over ROS 2 topics" in first
    assert re.search(rf"\d+ grasps in \d+ frames .*; look at {out}/sheet.png; next: scripts/demo --bag", last)
    counts = {name: int(count) for name, count in re.findall(r"\| (\S+) \| (\d+) \|", table)}
    assert counts["color/image"] == 90
    for name in ("~/descriptor", "~/shift", "~/position", "~/restored/depth", "~/restored/camera_info"):
        assert counts[name] >= 45
    latencies = [float(value) for value in re.findall(r"([\d.]+) ms \| [\d.]+ ms \|", table)]
    assert latencies
    assert max(latencies) < 1000


REALSENSE = {
    "/camera/color/image": "/camera/camera/color/image_raw",
    "/camera/depth/image": "/camera/camera/aligned_depth_to_color/image_raw",
    "/camera/color/camera_info": "/camera/camera/color/camera_info",
}


def renamed(bag, path, names, leave_out=()):
    """The same recording under other names of its topics."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="the package rosbags is not installed")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    with (
        rosbag2.Reader(bag) as reader,
        rosbag2.Writer(path, version=8, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer,
    ):
        to = {
            c.topic: writer.add_connection(names.get(c.topic, c.topic), c.msgtype, typestore=store)
            for c in reader.connections
            if c.topic not in leave_out
        }
        for connection, stamp, content in reader.messages():
            if connection.topic in to:
                writer.write(to[connection.topic], stamp, content)
    return path


@pytest.mark.serial
@pytest.mark.timeout(120)
def test_a_cameras_own_names_are_found(tmp_path):
    bag = renamed(ROOT / "test" / "data" / "grasps", tmp_path / "realsense", REALSENSE)
    result = run_demo(tmp_path, "--bag", bag, "--rate", "4", "--frames", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "camera: colour is /camera/camera/color/image_raw, depth " in result.stdout
    assert all(topic in result.stdout for topic in REALSENSE.values())
    assert (tmp_path / "out" / "frame_0.png").exists()


def test_a_bag_without_camera_info_is_said_in_one_line(tmp_path):
    info = "/camera/color/camera_info"
    bag = renamed(ROOT / "test" / "data" / "grasps", tmp_path / "bag", {}, leave_out=(info,))
    result = run_demo(tmp_path, "--bag", bag)
    assert result.returncode == 1
    assert "has no camera info, without which nothing is in metres" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_absent_bag_is_said_in_one_line(tmp_path):
    result = run_demo(tmp_path, "--bag", tmp_path / "nowhere")
    assert result.returncode == 2
    assert "nowhere does not exist" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "out").write_text("notes")
    result = run_demo(tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [f"demo: error: --out {tmp_path / 'out'} is a file; give a folder"]
