"""Reading bags: contents, frames, and one clear line about each that cannot be used."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from synthetic_scenes import FOCAL, TOPICS, make_scene, write_bag

from tiae_ros.errors import BagError
from tiae_ros.streams.bags import Bag


@pytest.fixture(params=["mcap", "sqlite3"])
def bag(tmp_path, request):
    path = tmp_path / "bag"
    write_bag(path, [make_scene(seed=i) for i in range(4)], storage=request.param)
    return path


def test_topics_raw_messages_and_frames(bag):
    with Bag(bag) as opened:
        assert {t.name: t.count for t in opened.topics.values()} == dict.fromkeys(TOPICS.values(), 4)
        raw = list(opened.raw([TOPICS["color"]]))
        assert len(raw) == 4
        assert all(message.type == "sensor_msgs/msg/Image" for message in raw)
        frames = list(opened.rgbd_frames())
    assert len(frames) == 4
    expected = make_scene(seed=2)
    np.testing.assert_array_equal(frames[2].color, expected.color)
    np.testing.assert_allclose(frames[2].depth_m, expected.depth_mm * 1e-3, rtol=1e-6)
    assert frames[2].k[0, 0] == FOCAL


def test_a_single_file_is_a_bag_too(bag):
    (file,) = [p for p in bag.iterdir() if p.suffix in (".mcap", ".db3")]
    with Bag(file) as opened:
        assert len(list(opened.rgbd_frames())) == 4


def test_raw_bytes_are_what_rclpy_reads(bag):
    serialization = pytest.importorskip("rclpy.serialization")
    from sensor_msgs.msg import Image

    with Bag(bag) as opened:
        first = next(iter(opened.raw([TOPICS["depth"]])))
    message = serialization.deserialize_message(first.data, Image)
    assert (message.encoding, message.width, message.height) == ("16UC1", 320, 240)


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothing", "does not exist"), (".", r"no metadata\.yaml"), ("notes.txt", "neither a rosbag2 folder")],
)
def test_what_is_no_bag_is_refused(tmp_path, name, said):
    (tmp_path / "notes.txt").write_text("no bag")
    with pytest.raises(BagError, match=said) as caught, Bag(tmp_path / name):
        pass
    one_line(caught)


def test_empty(tmp_path):
    write_bag(tmp_path / "bag", [])
    with (
        pytest.raises(BagError, match=r"holds no message.*only the topics.*/camera/color/image"),
        Bag(tmp_path / "bag"),
    ):
        pass


def test_missing_topic_names_what_there_is(tmp_path):
    write_bag(tmp_path / "bag", [make_scene()], leave_out=("depth",))
    with Bag(tmp_path / "bag") as opened:
        with pytest.raises(BagError, match=r"no depth image.*contains.*/camera/color/image") as caught:
            next(opened.rgbd_frames())
        one_line(caught)
        with pytest.raises(BagError, match=r"has no topic /nowhere.*contains"):
            list(opened.raw(["/nowhere"]))


def test_another_type_names_both(bag):
    with Bag(bag) as opened, pytest.raises(BagError, match=r"CameraInfo, but sensor_msgs/msg/Image is needed"):
        opened.camera_topics(color=TOPICS["info"])


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.6, 0.95, 0.999])
def test_truncated(bag, keep):
    (file,) = [p for p in bag.iterdir() if p.suffix in (".mcap", ".db3")]
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BagError, match=r"truncated|cannot be read|holds no message") as caught, Bag(bag) as opened:
        for _ in opened.rgbd_frames():
            pass
    one_line(caught)


def test_garbage_in_the_place_of_a_bag(bag):
    (file,) = [p for p in bag.iterdir() if p.suffix in (".mcap", ".db3")]
    file.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(BagError), Bag(bag) as opened:
        list(opened.raw())


def test_metadata_that_is_no_yaml(bag):
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    with pytest.raises(BagError, match="truncated or damaged"), Bag(bag):
        pass


def test_sqlite_bag_without_its_table(tmp_path):
    path = tmp_path / "bag"
    write_bag(path, [make_scene()], storage="sqlite3")
    (file,) = path.glob("*.db3")
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE messages")
    with pytest.raises(BagError), Bag(path) as opened:
        list(opened.raw())
