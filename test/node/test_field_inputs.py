"""Inputs as they come from the field: late masks, stamps that say nothing, other units, cameras and frames."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PointStamped
from ros_processes import Camera, Client, camera_info_message, image_message, node_process, stamp_of
from sensor_msgs.msg import PointCloud2
from synthetic_scenes import Scene, make_scene

pytestmark = pytest.mark.timeout(90)

SCENE = make_scene()
MASKS = [np.where(depth == SCENE.depth_mm, 1, 0).astype(np.uint8) for depth in (495, 505)]  # 0 and 1, not 255
MASKED, SEEN = "/masked", "/seen"
PATIENCE_S = 20


def started(folder: Any, parameters: dict[str, Any], space: str) -> Any:
    return node_process(
        folder, {**parameters, "diagnostics_period_s": 0.2}, arguments=["-r", f"__ns:={space}"], name=space[1:]
    )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory, shipped_models):
    """One that takes masks from topics, one that segments."""
    folder = tmp_path_factory.mktemp("field")
    with (
        started(folder, {**shipped_models, "mask_source": "topics"}, MASKED) as masked,
        started(folder, shipped_models, SEEN) as seen,
    ):
        yield {MASKED: masked, SEEN: seen}
        assert not any("Traceback" in node.output for node in (masked, seen))


class Field:
    """A camera, and masks of whoever makes them, on one side; grasps and diagnostics on the other."""

    def __init__(self, client: Client, space: str) -> None:
        self.client, self.space = client, space
        client.listen(PointCloud2, f"{space}/tiae/grasps")
        client.listen(PointStamped, f"{space}/tiae/position")
        client.listen(DiagnosticArray, "/diagnostics")
        self.camera = Camera(client, f"{space}/", masks=space == MASKED)
        if client.state(f"{space}/tiae") == "active":  # what other tests did is forgotten
            assert client.change_state("deactivate", f"{space}/tiae")
        assert client.change_state("activate", f"{space}/tiae")
        self.camera.wait_for_node()
        client.wait_for_publishers()
        for messages in client.received.values():
            messages.clear()  # of the frames of before

    @property
    def grasps(self) -> list[Any]:
        return self.client.received[f"{self.space}/tiae/grasps"]

    def play(self, until: Callable[[], bool], *, masks_later_s: float, stamps: bool = True) -> None:
        """30 frames a second; the masks come so much later than colour and depth of the same stamp."""
        waiting: list[tuple[float, Any, np.ndarray, int]] = []
        start = time.monotonic()
        count = 0
        while not until():
            passed = time.monotonic() - start
            assert passed < PATIENCE_S
            if passed * 30 >= count:
                stamp = self.camera.stamp_ns + count * 33_333_333 if stamps else 0
                count += 1
                self.camera.info.publish(camera_info_message(SCENE.depth_mm.shape, stamp))
                self.camera.color.publish(image_message(SCENE.color, "rgb8", stamp))
                self.camera.depth.publish(image_message(SCENE.depth_mm, "16UC1", stamp))
                for publisher, mask in zip(self.camera.masks, MASKS, strict=False):
                    waiting.append((passed + masks_later_s, publisher, mask, stamp))
            while waiting and waiting[0][0] <= passed:
                _, publisher, mask, stamp = waiting.pop(0)
                publisher.publish(image_message(mask, "mono8", stamp))
            self.client.spin(0.005)
        self.camera.stamp_ns += count * 33_333_333

    def status(self, level: bytes, text: str) -> str:
        """What this node said of itself with this text, "" for nothing."""
        for message in reversed(self.client.received["/diagnostics"]):
            status = message.status[0]
            if status.name.startswith(self.space[1:]) and status.level == level and text in status.message:
                return str(status.message)
        return ""

    def said(self, level: bytes, text: str) -> str:
        """As `status`, or in the next ones."""
        return str(self.client.spin_until(lambda: self.status(level, text), 4, f"{level!r} {text}"))


@pytest.fixture
def masked(client, nodes):
    return Field(client, MASKED)


@pytest.fixture
def seen(client, nodes):
    return Field(client, SEEN)


def test_masks_that_come_late_are_waited_for(masked):
    """Masks of 0 and 1 at that: they are taken, and the largest value is named."""
    named = "the largest value of hand mask is 1"
    masked.play(
        lambda: len(masked.grasps) >= 10 and bool(masked.status(DiagnosticStatus.WARN, named)), masks_later_s=0.4
    )
    assert masked.grasps[-1].width == 1


def test_masks_that_come_too_late_tell_how_late(masked, nodes):
    assert masked.client.set_parameter("pairing_memory_s", 0.2, f"{MASKED}/tiae") == (True, "")
    late = "pairing_memory_s is 0.2 s"
    masked.play(lambda: bool(masked.status(DiagnosticStatus.STALE, late)), masks_later_s=0.5)
    line = masked.status(DiagnosticStatus.STALE, late)
    assert re.search(r"_mask: the nearest stamps are 0\.000 s apart \(slop 0\.02 s\), it comes 0\.\d+ s later", line)
    assert not masked.grasps
    nodes[MASKED].wait_for(r"\[WARN\].*it comes 0\.\d+ s later", 5)  # in the log, too
    assert masked.client.set_parameter("pairing_memory_s", 1.0, f"{MASKED}/tiae") == (True, "")
    masked.play(lambda: bool(masked.grasps), masks_later_s=0.5)


def test_stamps_that_never_change_fall_back_to_arrival_with_a_warning(seen, nodes):
    seen.play(lambda: len(seen.grasps) >= 10, masks_later_s=0.0, stamps=False)
    assert {stamp_of(message) for message in seen.grasps} == {0}
    seen.said(DiagnosticStatus.WARN, "stamps of color and depth never change: images are paired by the time")
    assert nodes[SEEN].output.count("never change") == 1


def stream_until_said(field: Field, scene: Scene, text: str, **changes: Any) -> None:
    def said() -> bool:
        statuses = [message.status[0] for message in field.client.received["/diagnostics"]]
        return any(s.level == DiagnosticStatus.WARN and text in s.message for s in statuses)

    field.camera.stream_until(scene, said, timeout_s=10, **changes)


def test_depth_in_another_unit_is_named_and_can_be_set(seen):
    tenths = Scene(SCENE.color, SCENE.depth_mm * 10)
    text = "no depth reading is nearer than 1.5 m (depth_max_m), the nearest is 4.95 m: nothing is within reach, or one"
    stream_until_said(seen, tenths, text)
    assert not any(message.width for message in seen.grasps)
    assert seen.client.set_parameter("depth_unit_m", 0.0001, f"{SEEN}/tiae") == (True, "")
    seen.camera.stream_until(tenths, lambda: any(message.width for message in seen.grasps))
    position = seen.client.spin_until(lambda: seen.client.received[f"{SEEN}/tiae/position"], 5)[-1]
    assert position.point.z == pytest.approx(0.495, abs=0.01)
    assert seen.client.set_parameter("depth_unit_m", 0.001, f"{SEEN}/tiae") == (True, "")
    metres = (SCENE.depth_mm).astype("<f4")  # millimetres, in truth
    changes = {"encoding": "32FC1", "step": metres[0].nbytes, "data": metres.tobytes()}
    stream_until_said(seen, SCENE, "or 32FC1 is not in metres", depth=changes)


def test_depth_of_another_frame_is_a_warning(seen):
    frame = {"frame_id": "camera_depth_optical_frame"}
    stream_until_said(seen, SCENE, "depth is of frame 'camera_depth_optical_frame' but colour is of", depth=frame)
    assert any(message.width for message in seen.grasps)
