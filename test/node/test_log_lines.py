"""A fault that lasts is one line of the node's log, whoever writes it, and not one for each frame."""

from __future__ import annotations

import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from ros_processes import Camera, Process, node_process
from sensor_msgs.msg import CompressedImage
from synthetic_scenes import make_scene

pytestmark = pytest.mark.timeout(60)
RATE_HZ, FRAMES = 20, 30


class CompressedCamera:
    """Colour and depth as image_transport compresses them; any bytes."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.color = client.publisher(CompressedImage, f"{prefix}color/image/compressed")
        self.depth = client.publisher(CompressedImage, f"{prefix}depth/image/compressedDepth")
        client.spin_until(
            lambda: self.color.get_subscription_count() and self.depth.get_subscription_count(), 20, "the node"
        )
        client.spin(0.3)
        self.stamp_ns = 1_700_000_000_000_000_000

    def stream(self, color: Iterator[bytes], depth: bytes) -> None:
        for picture in color:
            self.stamp_ns += 10**9 // RATE_HZ
            self._send(self.color, picture, "rgb8; jpeg compressed bgr8")
            self._send(self.depth, bytes(12) + depth, "16UC1; compressedDepth png")
            self.client.spin(1 / RATE_HZ)
        self.client.spin(0.2)

    def _send(self, publisher: Any, data: bytes, kind: str) -> None:
        message = CompressedImage(format=kind, data=array.array("B", data))
        message.header.frame_id = "camera_color_optical_frame"
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.stamp_ns, 10**9)
        publisher.publish(message)


def with_changed_byte(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.fixture(scope="module")
def node(tmp_path_factory, shipped_models) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("log_lines")
    parameters = {**shipped_models, "image_transport": "compressed"}
    with node_process(folder, parameters, arguments=["-r", "__ns:=/log_lines"]) as process:
        yield process


def test_pictures_that_cannot_be_decoded_are_a_line(client, node):
    scene = make_scene()
    jpeg, webp = (cv2.imencode(kind, scene.color)[1].tobytes() for kind in (".jpg", ".webp"))
    png = cv2.imencode(".png", scene.depth_mm)[1].tobytes()
    camera = CompressedCamera(client, "/log_lines/")
    faults = {
        "neither jpeg nor png": ((webp + bytes(i) for i in range(FRAMES)), png),  # of another size each time
        "compressed depth of": ((jpeg for _ in range(FRAMES)), with_changed_byte(png, len(png) // 2)),
        # Pictures that libjpeg shows as far as they go, with a line for each.
        "": ((with_changed_byte(jpeg, 700 + 37 * i) for i in range(FRAMES)), png),
    }
    for said, (color, depth) in faults.items():
        before = len(node.output)
        camera.stream(color, depth)
        lines = [line for line in node.output[before:].splitlines() if "no camera info yet" not in line]
        assert len(lines) <= 2, lines
        assert said in "".join(lines)
        assert "libpng" not in "".join(lines)


def test_stamps_that_jump_back_each_time_are_a_line(client, tmp_path, shipped_models):
    """Two cameras of different clocks on one topic."""
    with node_process(tmp_path, shipped_models, arguments=["-r", "__ns:=/jumps"]) as node:
        camera, scene = Camera(client, "/jumps/"), make_scene(width=160, height=120)
        camera.wait_for_node()
        camera.stream_until(scene, lambda: "jumped back" in node.output or camera_jumps(camera), rate_hz=20)
        before = node.output.count("jumped back")
        for _ in range(FRAMES):
            camera_jumps(camera)
            camera.shoot(scene)
            client.spin(1 / RATE_HZ)
        assert before <= 1
        assert node.output.count("jumped back") <= 1


def camera_jumps(camera: Camera) -> None:
    """An hour, to and fro."""
    hour = 3600 * 10**9
    camera.stamp_ns += -hour if (camera.stamp_ns // hour) % 2 else hour
