"""``tiae extract --joints`` and ``tiae imitate fit``: a recorded bag with a robot's joints beside the pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="the package rosbags is not installed")
pytest.importorskip("onnx", reason="graphs are made with onnx, which is not installed")

from made_hand_pose import make_hand_pose
from written_bags import cdr, write_messages

from tiae_ros.cli import main
from tiae_ros.errors import BagError
from tiae_ros.imitation.calibration import load_map
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.recorded_joints import JOINT_STATE_TYPE, RecordedJoints

pytestmark = pytest.mark.timeout(120)
BAG = Path(__file__).parents[1] / "data" / "grasps"
TOPIC = "/joint_states"
MS = 1_000_000
FRAMES = 8
SKIPPED = 3  # in the first ones the hand is not surely found


def joint_state(stamp_ns: int, **angles: float) -> tuple[str, str, int, bytes]:
    values, none = np.array([*angles.values()], np.float64), np.zeros(0)
    data = cdr(JOINT_STATE_TYPE, stamp_ns=stamp_ns, name=[*angles], position=values, velocity=none, effort=none)
    return TOPIC, JOINT_STATE_TYPE, stamp_ns, data


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    """Frames of the shipped bag, and a Shadow hand that closes: one half of its joints in each message."""
    names = load_hand("shadow").names
    with Bag(BAG) as source:
        topics = source.camera_topics()
        stored = [(m.topic, m.type, m.time_ns, m.data) for m in source.raw([*topics.inputs.values()])]
    colors = [time_ns for topic, _, time_ns, _ in stored if topic == topics.color][SKIPPED : SKIPPED + FRAMES]
    stored = [message for message in stored if colors[0] - 20 * MS <= message[2] <= colors[-1] + 20 * MS]
    with Bag(BAG) as source:
        frames = itertools.islice(source.rgbd_frames(), SKIPPED, SKIPPED + FRAMES)
        stamps = [frame.stamp_ns for frame in frames]
    for number, stamp_ns in enumerate(stamps[:-1]):  # none beside the last frame
        angle = 0.1 * number
        stored.append(joint_state(stamp_ns - 8 * MS, **dict.fromkeys(names[::2], angle)))
        stored.append(joint_state(stamp_ns + 8 * MS, **dict.fromkeys(names[1::2], angle)))
    stored.sort(key=lambda message: message[2])
    return write_messages(tmp_path_factory.mktemp("bags") / "taught", stored)


def test_joints_between_readings(tmp_path):
    path = write_messages(
        tmp_path / "joints",
        [
            joint_state(1000 * MS, a=0.0),
            joint_state(1010 * MS, a=1.0, b=5.0),
            joint_state(1200 * MS, a=9.0),
            (TOPIC, JOINT_STATE_TYPE, 1300 * MS, b"\0\1\0\0 cut off"),
        ],
    )
    with Bag(path) as recorded:
        joints = RecordedJoints(recorded, TOPIC)
        assert joints.names == ("a", "b")
        np.testing.assert_allclose(joints.at(1004 * MS, 0.05), [0.4, 5.0])
        np.testing.assert_allclose(joints.at(1030 * MS, 0.02), [1.0, 5.0])
        np.testing.assert_allclose(joints.at(1190 * MS, 0.02), [9.0, np.nan])
        assert np.isnan(joints.at(1100 * MS, 0.02)).all()
        assert "truncated or damaged" in recorded.skipped.lines()[0]
        with pytest.raises(BagError, match="has no topic /nowhere"):
            RecordedJoints(recorded, "/nowhere")


def test_pairs_from_a_bag_or_its_windows_make_the_same_map(bag, tmp_path, capsys):
    pose = str(make_hand_pose(tmp_path / "linear", novelty_max=1e9, slope=1e-4))
    fit = ["imitate", "fit", "--hand", "shadow", "--hand-pose-model", pose]
    assert main([*fit, "--pairs", str(bag), "--joints", TOPIC, "--out", str(tmp_path / "one.npz")]) == 0
    said = capsys.readouterr().out
    assert "1 of 8 frames: no joint state of /joint_states within 0.05 s tells every joint (24)" in said
    assert "7 pairs; error of pairs that were left out" in said
    pairs = tmp_path / "pairs.npz"
    extract = ["extract", "--bag", str(bag), "--channels", "masks+depth", "--joints", TOPIC, "--out", str(pairs)]
    assert main(extract) == 0
    with np.load(pairs) as arrays:
        assert sorted(arrays["joint_names"]) == sorted(load_hand("shadow").names)
        np.testing.assert_allclose(arrays["joints"], np.tile(0.1 * np.arange(7)[:, None], 24), atol=1e-9)
    assert main([*fit, "--pairs", str(pairs), "--out", str(tmp_path / "two.npz")]) == 0
    one, two = (load_map(tmp_path / name) for name in ("one.npz", "two.npz"))
    np.testing.assert_allclose(one.points, two.points, atol=1e-4)
    np.testing.assert_allclose(one.offset, two.offset, atol=1e-4)
    assert one.belongs.joint_names == load_hand("shadow").names


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--hand", "shadow"], "is a bag: name its topic of joint states, --joints TOPIC"),
        (["--hand", "leap", "--joints", TOPIC], "none is of leap, whose joints are"),
        (["--hand", "shadow", "--joints", "/camera/color/image"], "but sensor_msgs/msg/JointState is needed"),
        (["--hand", "shadow", "--joints", TOPIC, "--model", "depth"], "not on depth"),
    ],
)
def test_what_is_refused(bag, tmp_path, capsys, words, line):
    pose = str(make_hand_pose(tmp_path / "linear"))
    out = tmp_path / "map.npz"
    assert main(["imitate", "fit", "--pairs", str(bag), "--hand-pose-model", pose, "--out", str(out), *words]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
