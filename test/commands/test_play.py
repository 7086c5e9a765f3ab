"""`tiae play`: stored bytes onto topics, and one line about each bag or option that cannot be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from ros_processes import environment, pixels_of, stamp_of
from sensor_msgs.msg import CameraInfo, Image
from synthetic_scenes import TOPICS, make_scene, write_bag

from tiae_ros.node.large_messages import profile_variable

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def recording(tmp_path):
    """(folder, stamps, scenes)."""
    scenes = [make_scene(width=640, height=480, seed=i) for i in range(12)]
    return tmp_path / "bag", write_bag(tmp_path / "bag", scenes, rate_hz=20), scenes


def test_every_message_arrives_in_order_and_unchanged(client, recording, play):
    bag, stamps, scenes = recording
    client.listen(Image, TOPICS["color"], reliable=False)
    client.listen(Image, TOPICS["depth"])
    client.listen(CameraInfo, TOPICS["info"])
    process = play("--bag", str(bag))
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.3)
    assert process.join(5) == 0
    assert [stamp_of(m) for m in client.received[TOPICS["depth"]]] == stamps
    assert [stamp_of(m) for m in client.received[TOPICS["info"]]] == stamps
    # Best effort, 900 KB each: with the large shared-memory segment nearly all of them come.
    assert len(client.received[TOPICS["color"]]) >= len(stamps) - 2
    first = client.received[TOPICS["color"]][0]
    np.testing.assert_array_equal(pixels_of(first), scenes[stamps.index(stamp_of(first))].color)


def test_rate_topics_and_names(client, recording, play):
    bag, stamps, _ = recording
    client.listen(Image, "/renamed")
    process = play(
        "--bag", str(bag), "--topics", TOPICS["depth"], "--topic-map", f"{TOPICS['depth']}:=/renamed", "--rate", "0.5"
    )
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    assert len(client.received["/renamed"]) == len(stamps)
    arrived = client.arrived["/renamed"]
    assert arrived[-1] - arrived[0] == pytest.approx(11 / 20 / 0.5, abs=0.4)
    assert f"played {TOPICS['depth']} 12" in process.output


def test_loop_goes_on_until_a_signal(client, recording, play):
    bag, stamps, _ = recording
    client.listen(Image, TOPICS["depth"])
    process = play("--bag", str(bag), "--loop", "--rate", "2", "--topics", TOPICS["depth"], "--clock")
    client.spin_until(lambda: len(client.received[TOPICS["depth"]]) > 2 * len(stamps), 30)
    code, seconds = process.end(signal.SIGINT)
    assert code == 0
    assert seconds < 2.0
    assert "Traceback" not in process.output


def test_it_says_who_does_not_listen(recording, play):
    bag, _, _ = recording
    process = play("--bag", str(bag), "--wait", "0.2", "--rate", "10")
    assert process.join(30) == 0
    assert f"no subscriber yet on {TOPICS['info']}, {TOPICS['color']}" in process.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "0"], "--rate 0 cannot be used; it must be a number above 0"),
        (["--rate", "nan"], "--rate nan cannot be used"),
        (["--subscribers", "0"], "--subscribers 0 cannot be used; it must be at least 1"),
        (["--wait", "-1"], "--wait -1 cannot be used"),
        (["--topic-map", f"{TOPICS['depth']}:=bad name"], "topic name 'bad name' is not valid"),
        (["--topic-map", "a"], "--topic-map a cannot be read; accepted is OLD:=NEW"),
        (["--topics", "/nowhere"], "has no topic /nowhere; it contains /camera/color/camera_info"),
        (["--topic-map", "/nowhere:=/b"], "has no topic /nowhere; it contains /camera/color/camera_info"),
    ],
)
def test_options_that_cannot_be_used(tmp_path, refused, words, message):
    write_bag(tmp_path / "bag", [make_scene(width=64, height=48)])
    assert message in refused("--bag", str(tmp_path / "bag"), *words)


def test_a_refusal_ends_the_process_with_2(tmp_path, play):
    process = play("--bag", str(tmp_path / "nowhere"))
    assert process.join(30) == 2
    (line,) = process.output.strip().splitlines()
    assert line.startswith("tiae play: error: bag ")


@pytest.mark.parametrize("fault", ["empty", "truncated"])
def test_bags_that_cannot_be_used(tmp_path, refused, fault):
    bag = tmp_path / "bag"
    write_bag(bag, [] if fault == "empty" else [make_scene()])
    if fault == "truncated":
        (file,) = bag.glob("*.mcap")
        os.truncate(file, file.stat().st_size // 2)
    assert refused("--bag", str(bag)).startswith("tiae play: error: bag ")


def test_the_variable_of_the_distribution():
    old, new = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
    for distribution, variable in {"humble": old, "jazzy": old, "kilted": new, "lyrical": new}.items():
        assert profile_variable({"ROS_DISTRO": distribution}) == variable
    assert profile_variable({}) in (old, new)


def test_it_waits_for_as_many_as_told(client, recording, play):
    bag, stamps, _ = recording
    process = play("--bag", str(bag), "--topics", TOPICS["info"], "--subscribers", "2", "--wait", "20")
    client.listen(CameraInfo, TOPICS["info"])
    client.spin(2.0)
    assert process.alive
    assert not client.received[TOPICS["info"]]
    second = client.node.create_subscription(CameraInfo, TOPICS["info"], lambda _: None, 10)
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    client.node.destroy_subscription(second)
    assert [stamp_of(m) for m in client.received[TOPICS["info"]]] == stamps


def test_the_player_starts_playing_when_somebody_listens(client, recording, play):
    """It waits for subscribers, so the first frame is not lost."""
    bag, stamps, _ = recording
    process = play("--bag", str(bag), "--topics", TOPICS["info"])
    time.sleep(3.0)
    assert process.alive
    client.listen(CameraInfo, TOPICS["info"])
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    assert [stamp_of(m) for m in client.received[TOPICS["info"]]] == stamps


def test_a_camera_of_any_name_is_played_as_the_nodes_inputs(tmp_path):
    write_bag(tmp_path / "bag", [make_scene()])
    words = [sys.executable, "-m", "tiae_ros.cli", "play", "--bag", str(tmp_path / "bag"), "--as-camera", "/arm"]

    def played(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words, *more], env=environment(), capture_output=True, text=True, timeout=60, check=False
        )

    said = played("--wait", "0")
    assert said.returncode == 0, said.stderr
    assert f"camera: colour is {TOPICS['color']}" in said.stdout
    assert all(f"/arm/{own}" in said.stdout for own in ("color/image", "depth/image", "color/camera_info"))
    refused = played("--topics", TOPICS["color"])
    assert refused.returncode == 2
    assert "leave out --topics and --topic-map" in refused.stderr
