"""The pose beside the shift, from drawn masks through a node of its own process to what arrives here.

The model's angle is where, from the middle of hand and object, the object lies (`made_pose_model`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("torch", reason="models are made with torch, which is not installed")

from geometry_msgs.msg import Vector3Stamped
from made_pose_model import SCALE, points_at_the_object
from ros_processes import Camera, Client, node_process, stamp_of
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from synthetic_scenes import HEIGHT, WIDTH, Scene

from tiae_ros.model.ambiguity import Ambiguity
from tiae_ros.model.pattern_poses import PatternPoses
from tiae_ros.node import messages
from tiae_ros.view.moment import read_grasps
from tiae_training.export import save_model

TODAY = ["x", "y", "z", "descriptor", "shift", "confidence"]
POSE = ["angle", "scale", "pose_confidence", "ambiguity"]
NONE, HALF_TURN, ANY = range(3)


def rows_of(message: PointCloud2) -> np.ndarray:
    """Points by the names of their fields, as any reader of PointCloud2 has them."""
    kinds = {PointField.FLOAT32: "<f4", PointField.UINT8: "u1"}
    names = [field.name for field in message.fields]
    formats = [
        (kinds[field.datatype], field.count) if field.count > 1 else kinds[field.datatype] for field in message.fields
    ]
    offsets = [field.offset for field in message.fields]
    layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step}
    return np.frombuffer(bytes(message.data), np.dtype(layout))


def held(
    *degrees: float, ring: bool = False, x: int = 160, millimetres: int = 500
) -> tuple[Scene, np.ndarray, np.ndarray]:
    """A round hand with a bar of an object to each direction, or within a ring: colour and depth, and both masks."""
    across, down = np.arange(WIDTH)[None, :] - x, np.arange(HEIGHT)[:, None] - 120
    distance = np.hypot(across, down)
    hand, thing = distance <= 22, (distance >= 24) & (distance <= 45) & ring
    for angle in np.radians(degrees):
        along = across * math.cos(angle) + down * math.sin(angle)
        beside = down * math.cos(angle) - across * math.sin(angle)
        thing |= (along >= 20.5) & (along <= 45.5) & (np.abs(beside) <= 7.5)
    thing &= ~hand
    depth = np.where(hand | thing, millimetres, 1000).astype(np.uint16)
    color = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    return Scene(color, depth), np.uint8(255 * hand), np.uint8(255 * thing)


def both(one: tuple[Scene, np.ndarray, np.ndarray], other: tuple[Scene, np.ndarray, np.ndarray]) -> Any:
    depth = np.minimum(one[0].depth_mm, other[0].depth_mm)
    return Scene(one[0].color, depth), *(
        np.maximum(mask, beside) for mask, beside in zip(one[1:], other[1:], strict=True)
    )


@pytest.fixture(scope="module")
def look(tmp_path_factory, traced_once):
    """A function that shows the node a drawn frame and waits for its grasps and shift."""
    folder = tmp_path_factory.mktemp("node_poses")
    save_model(points_at_the_object(), folder / "model")
    parameters = {"model": folder / "model", "depth_model": "none", "mask_source": "topics", "device": "cpu"}
    arguments = ["-r", "__ns:=/posed"]
    with (
        Client("posed_client") as client,
        node_process(folder, {**parameters, "max_grasps": 2}, arguments=arguments) as node,
    ):
        client.listen(PointCloud2, "/posed/tiae/grasps")
        client.listen(Vector3Stamped, "/posed/tiae/shift")
        camera = Camera(client, "/posed/", masks=True)
        camera.wait_for_node()
        client.wait_for_publishers()

        def found(topic: str, stamp: int) -> Any:
            return next((m for m in client.received[f"/posed/tiae/{topic}"] if stamp_of(m) == stamp), None)

        def shown(drawn: Any, *, empty: bool = False) -> tuple[PointCloud2, Vector3Stamped | None]:
            scene, *masks = drawn
            for _ in range(5):  # the very first frame may be lost, or come before its camera info
                stamp = camera.shoot(scene, masks=masks)
                try:
                    client.spin_until(lambda: found("grasps", stamp), 4, "grasps")  # noqa: B023
                except AssertionError:
                    continue
                if not empty:
                    client.spin_until(lambda: found("shift", stamp), 4, "the shift")  # noqa: B023
                return found("grasps", stamp), found("shift", stamp)
            raise AssertionError(f"no grasps of five frames:\n{node.output}")

        yield shown
        assert "Traceback" not in node.output


def test_poses_come_after_the_fields_of_today(look):
    message, _ = look(held(30))
    assert [field.name for field in message.fields] == TODAY + POSE
    assert [field.datatype for field in message.fields] == [PointField.FLOAT32] * 9 + [PointField.UINT8]
    size = message.fields[3].count
    assert [field.offset // 4 for field in message.fields] == [
        0,
        1,
        2,
        3,
        *range(3 + size, 6 + size, 2),
        *range(6 + size, 10 + size),
    ]
    assert message.point_step == 4 * (10 + size)
    assert message.row_step == len(message.data) == message.point_step
    assert np.isfinite(np.frombuffer(bytes(message.data), "<f4")).all()  # also for those who read words alone


@pytest.mark.parametrize("degrees", [0, 30, 77, 120, -60, -150])
def test_a_known_angle_is_published_with_the_shift(look, degrees):
    message, shift = look(held(degrees))
    (row,) = rows_of(message)
    assert row["ambiguity"] == NONE
    assert row["pose_confidence"] > 0.9
    assert math.degrees(row["angle"]) == pytest.approx(degrees, abs=8)
    assert row["scale"] == pytest.approx(SCALE, abs=1e-3)
    assert shift.vector.z == row["angle"]
    np.testing.assert_allclose([shift.vector.x, shift.vector.y], row["shift"], rtol=1e-6)
    assert np.dot(row["shift"] - 0.5, [math.cos(row["angle"]), math.sin(row["angle"])]) > 2  # towards the object
    np.testing.assert_array_equal(read_grasps(message).angles, [row["angle"]])  # the live page's reader


def test_a_turned_picture_turns_the_angle(look):
    angles = [rows_of(look(held(degrees))[0])[0]["angle"] for degrees in (-150, -60, 30, 120)]
    np.testing.assert_allclose(np.degrees(np.diff(angles)), 90, atol=3)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (held(30, 210), HALF_TURN),
        (held(-45, 135), HALF_TURN),
        (held(ring=True), ANY),
        (held(30, 120, 210, 300), ANY),
        (held(), ANY),  # nothing is held
    ],
)
def test_an_angle_that_is_not_sure_is_not_published(look, drawn, expected):
    message, shift = look(drawn)
    (row,) = rows_of(message)
    assert row["ambiguity"] == expected
    assert row["pose_confidence"] < 0.7
    assert np.isnan([row["angle"], shift.vector.z]).all()
    assert np.isfinite([shift.vector.x, shift.vector.y, row["scale"], *row["shift"]]).all()


def test_each_hand_of_a_frame_has_its_own_pose(look):
    message, shift = look(both(held(30, 210, x=80), held(-60, x=240, millimetres=550)))
    near, far = rows_of(message)
    assert (near["ambiguity"], far["ambiguity"]) == (HALF_TURN, NONE)
    assert np.isnan([near["angle"], shift.vector.z]).all()  # the single topics carry the nearest
    assert math.degrees(far["angle"]) == pytest.approx(-60, abs=8)
    np.testing.assert_allclose(read_grasps(message).angles, [np.nan, far["angle"]])


def test_no_hand_leaves_the_fields(look):
    scene, hand, thing = held()
    message, shift = look((scene, 0 * hand, thing), empty=True)
    assert (message.width, len(message.data), shift) == (0, 0, None)
    assert [field.name for field in message.fields] == TODAY + POSE
    assert read_grasps(message).angles.shape == (0,)


def some_rows(count: int) -> list[np.ndarray]:
    """Positions, descriptors (of four numbers), shifts and confidences."""
    random = np.random.default_rng(0)
    return [random.random((count, size), dtype=np.float32) for size in (3, 4, 2)] + [np.full(count, 0.5, np.float32)]


def test_mirrored_is_there_where_the_model_tells_it():
    numbers = np.float32([0.5, np.nan, np.nan])
    ambiguities = [Ambiguity.NONE, Ambiguity.HALF_TURN, Ambiguity.ANY]
    mirrored = np.float32([1, 0, np.nan])
    poses = PatternPoses(numbers, np.float32([1, 2, 3]), mirrored, np.float32([0.9, 0.5, 0.1]), ambiguities)
    message = messages.grasps(Header(), *some_rows(3), poses)
    assert [field.name for field in message.fields] == [*TODAY, "angle", "scale", "mirrored", *POSE[2:]]
    rows = rows_of(message)
    np.testing.assert_array_equal(rows["angle"], numbers)
    np.testing.assert_array_equal(rows["scale"], [1, 2, 3])
    np.testing.assert_array_equal(rows["mirrored"], mirrored)
    np.testing.assert_array_equal(rows["pose_confidence"], np.float32([0.9, 0.5, 0.1]))
    np.testing.assert_array_equal(rows["ambiguity"], [NONE, HALF_TURN, ANY])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_of_shifts_alone_every_byte_is_as_ever(count):
    positions, descriptors, shifts, confidences = some_rows(count)
    message = messages.grasps(Header(), positions, descriptors, shifts, confidences)
    layout = [("x", 0, 1), ("y", 4, 1), ("z", 8, 1), ("descriptor", 12, 4), ("shift", 28, 2), ("confidence", 36, 1)]
    assert [(field.name, field.offset, field.count) for field in message.fields] == layout
    assert {field.datatype for field in message.fields} == {PointField.FLOAT32}
    assert (message.point_step, message.row_step, message.width, message.height) == (40, 40 * count, count, 1)
    table = np.concatenate([positions, descriptors, shifts, confidences[:, None]], axis=1)
    assert bytes(message.data) == table.astype("<f4").tobytes()
    assert np.isnan(read_grasps(message).angles).all()
    assert messages.shift(Header(), np.float32([1, 2])).vector.z == 0
