"""A bag played over DDS by `tiae play`, the node in its own process, and what arrives here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, Vector3Stamped
from ros_processes import Client, Process, node_process, pixels_of, stamp_of
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from synthetic_scenes import FOCAL, FRAME_ID, HEIGHT, WIDTH, make_scene, moved, write_bag

pytestmark = pytest.mark.timeout(120)

FRAMES = 20
MOVES = {"here": (0, 0), "left up": (-60, -40), "right down": (60, 40)}
KINDS = {
    "descriptor": Image,
    "grasps": PointCloud2,
    "shift": Vector3Stamped,
    "position": PointStamped,
    "restored/depth": Image,
    "restored/camera_info": CameraInfo,
    "restored/hand_mask": Image,
    "restored/object_mask": Image,
    "segmentation": Image,
    "debug_image": Image,
}


@dataclass
class Run:
    """One bag through the node."""

    stamps: list[int]
    received: dict[str, list[Any]]
    counts: dict[str, str]
    """What /diagnostics says at the end (sums over all runs so far)."""
    player_output: str
    player_exit: int


@pytest.fixture(scope="module")
def runs(tmp_path_factory, shipped_models):
    """The same scenes at three places in the picture, one after the other through one node."""
    folder = tmp_path_factory.mktemp("topics")
    scenes = [make_scene(150 + index, 120, seed=index) for index in range(FRAMES)]
    found = {}
    with Client() as client, node_process(folder, shipped_models, arguments=["-r", "__ns:=/camera"]):
        for name, kind in KINDS.items():
            client.listen(kind, f"/camera/tiae/{name}")
        client.listen(DiagnosticArray, "/diagnostics")
        client.wait_for_publishers()
        for index, (name, (dx, dy)) in enumerate(MOVES.items()):
            bag = folder / f"bag_{index}"
            # Each bag starts where the one before ended; the last one jumps back by ten seconds.
            start = 1_700_000_000_000_000_000 + (index * 2 if index < 2 else -10) * 10**9
            stamps = write_bag(bag, [moved(scene, dx, dy) for scene in scenes], start_ns=start)
            client.received.clear()
            # At half speed, so that a busy test machine keeps up.
            player = Process(["play", "--bag", str(bag), "--rate", "0.5"], folder / f"player_{index}.log")
            try:
                client.spin_until(lambda: not player.alive, 40, "the player's end")  # noqa: B023
                client.spin(1.5)
                received = {key: list(client.received[f"/camera/tiae/{key}"]) for key in KINDS}
                status = client.received["/diagnostics"][-1].status[0]
                counts = {value.key: value.value for value in status.values}
                found[name] = Run(stamps, received, counts, player.output, player.join(5))
            finally:
                player.kill()
    return found


def by_index(run: Run, topic: str) -> dict[int, Any]:
    """Messages by the number of the frame whose stamp they carry."""
    return {run.stamps.index(stamp_of(message)): message for message in run.received[topic]}


def matched(one: Run, other: Run, topic: str) -> list[tuple[Any, Any]]:
    """The messages of frames that gave a result in both runs."""
    first, second = by_index(one, topic), by_index(other, topic)
    # The very first frame may come before camera info, and then has a window of an assumed size.
    both = sorted(first.keys() & second.keys() & by_index(one, "position").keys())
    assert len(both) >= FRAMES // 2
    return [(first[index], second[index]) for index in both]


@pytest.mark.parametrize("topic", KINDS)
def test_results_carry_stamp_and_frame_of_colour(runs, topic):
    for run in runs.values():
        stamps = [stamp_of(message) for message in run.received[topic]]
        assert len(stamps) >= 0.7 * FRAMES
        assert set(stamps) <= set(run.stamps)
        assert stamps == sorted(set(stamps))
        assert {message.header.frame_id for message in run.received[topic]} == {FRAME_ID}


def test_every_frame_is_result_or_counted_drop(runs):
    last = runs["right down"].counts
    assert int(last["results"]) + int(last["dropped"]) == FRAMES * len(runs)
    assert int(last["results"]) == pytest.approx(sum(len(run.received["grasps"]) for run in runs.values()), abs=3)


def test_player_ends_with_0_and_prints_rates(runs):
    for run in runs.values():
        assert run.player_exit == 0
        assert re.search(r"\d s .*/camera/color/image \d+\.\d Hz", run.player_output)
        assert f"played /camera/color/camera_info {FRAMES}" in run.player_output


def test_shapes_and_encodings(runs, shipped_models):
    from tiae_ros import load_model

    manifest = load_model(shipped_models["model"]).manifest
    size, k = manifest.window_size, manifest.descriptor_size
    last = {name: messages[-1] for name, messages in runs["here"].received.items()}
    assert (last["descriptor"].height, last["descriptor"].width, last["descriptor"].encoding) == (1, k, "32FC1")
    for name, encoding in (("depth", "32FC1"), ("hand_mask", "mono8"), ("object_mask", "mono8")):
        message = last[f"restored/{name}"]
        assert (message.height, message.width, message.encoding) == (size, size, encoding)
    assert pixels_of(last["segmentation"]).shape == (HEIGHT, WIDTH)
    assert {0, 1} <= set(np.unique(pixels_of(last["segmentation"]))) <= {0, 1, 2}
    assert pixels_of(last["debug_image"]).shape == (HEIGHT, WIDTH + HEIGHT // 3, 3)
    info = last["restored/camera_info"]
    assert (info.height, info.width) == (size, size)


def test_grasps_carry_everything_of_the_single_topics(runs):
    run = runs["here"]
    by_topic = {name: by_index(run, name) for name in ("grasps", "descriptor", "shift", "position")}
    complete = set.intersection(*(set(messages) for messages in by_topic.values()))
    assert len(complete) >= FRAMES // 2
    for index in complete:
        message, descriptor, shift, position = (messages[index] for messages in by_topic.values())
        assert [field.name for field in message.fields] == ["x", "y", "z", "descriptor", "shift", "confidence"]
        row = np.frombuffer(message.data, "<f4").reshape(message.width, -1)[0]
        size = descriptor.width
        assert message.point_step == 4 * (3 + size + 2 + 1)
        np.testing.assert_array_equal(row[3 : 3 + size], pixels_of(descriptor)[0])
        np.testing.assert_allclose(row[3 + size : 5 + size], [shift.vector.x, shift.vector.y], rtol=1e-6)
        assert shift.vector.z == 0  # these models find no angles
        np.testing.assert_allclose(row[:3], [position.point.x, position.point.y, position.point.z], rtol=1e-6)
        assert 0 <= row[-1] <= 1


def test_no_output_is_nan_but_restored_depth(runs):
    for run in runs.values():
        for name in ("descriptor", "restored/depth"):
            for message in run.received[name]:
                values = pixels_of(message)
                bad = ~np.isfinite(values)
                assert not bad.any() or (name == "restored/depth" and np.isnan(values[bad]).all())
        with_metres = set(by_index(run, "position"))
        for index, message in by_index(run, "grasps").items():
            if index not in with_metres:
                continue  # without camera info x, y, z are NaN: nothing is known
            assert np.isfinite(np.frombuffer(message.data, "<f4")).all()


@pytest.mark.parametrize("move", ["left up", "right down"])
def test_moving_the_picture_moves_the_shift_alone(runs, move):
    """Published shifts differ by the moved pixels, descriptors stay, positions follow the camera's geometry."""
    dx, dy = MOVES[move]
    here, there = runs["here"], runs[move]
    for one, other in matched(here, there, "shift"):
        assert other.vector.x - one.vector.x == pytest.approx(dx, abs=1)
        assert other.vector.y - one.vector.y == pytest.approx(dy, abs=1)
    for one, other in matched(here, there, "descriptor"):
        difference = np.linalg.norm(pixels_of(one) - pixels_of(other))
        assert difference <= 0.05 * max(np.linalg.norm(pixels_of(one)), 1e-6)
    for one, other in matched(here, there, "position"):
        assert other.point.x - one.point.x == pytest.approx(dx * one.point.z / FOCAL, abs=0.003)
        assert other.point.y - one.point.y == pytest.approx(dy * one.point.z / FOCAL, abs=0.003)


def test_the_window_camera_projects_into_the_window(runs):
    """`~/restored/camera_info` belongs to the restored depth: the grasp's position lies where its pattern is."""
    run = runs["right down"]
    infos, positions = by_index(run, "restored/camera_info"), by_index(run, "position")
    for index in infos.keys() & positions.keys():
        info, position = infos[index], positions[index]
        k = np.array(info.k).reshape(3, 3)
        u, v, w = k @ [position.point.x, position.point.y, position.point.z]
        assert -0.5 <= u / w <= info.width
        assert -0.5 <= v / w <= info.height
        np.testing.assert_allclose(np.array(info.p).reshape(3, 4)[:, :3], k)
