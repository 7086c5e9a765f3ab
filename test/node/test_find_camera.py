"""find_camera: the node waits for the one camera that publishes, says so, and listens to it, however it is called."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped
from ros_processes import Client, camera_info_message, image_message, node_process
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from synthetic_scenes import make_scene

from tiae_ros.node.live_topics import CameraFinder

pytestmark = pytest.mark.timeout(90)


def test_a_camera_that_starts_later_under_odd_names_is_found_by_its_encodings(tmp_path, client, shipped_models):
    scene = make_scene(200, 110)
    client.listen(Vector3Stamped, "/tiae/shift")
    client.listen(DiagnosticArray, "/diagnostics")
    parameters = {**shipped_models, "find_camera": True, "diagnostics_period_s": 0.3}
    waiting = "active; waiting for a camera: nothing publishes images yet"
    with node_process(tmp_path, parameters, wait_for=waiting) as node:
        client.spin_until(
            lambda: any("waiting for a camera" in m.status[0].message for m in client.received["/diagnostics"]), 10
        )
        names = {"/sensor/a": Image, "/sensor/b": Image, "/sensor/info": CameraInfo}
        color, depth, info = (client.publisher(kind, name) for name, kind in names.items())
        for step in range(200):
            stamp = (100 + step) * 100_000_000
            color.publish(image_message(scene.color, "rgb8", stamp))
            depth.publish(image_message(scene.depth_mm, "16UC1", stamp))
            info.publish(camera_info_message(scene.depth_mm.shape, stamp))
            client.spin(0.1)
            if client.received["/tiae/shift"]:
                break
        assert client.received["/tiae/shift"], node.output
        told = node.wait_for("found a camera: .*")
        assert "colour is /sensor/a, depth /sensor/b" in told
        assert "camera info /sensor/info (beside colour)" in told


def look_for(finder, client, seconds=8.0):
    """As a timer does; what was found, or None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := finder.look():
            return found
        client.spin(0.2)
    return None


def test_names_are_enough_and_two_cameras_are_asked_about(client):
    packed = {"color/image_raw": "compressed", "aligned_depth_to_color/image_raw": "compressedDepth"}
    with Client("driver") as driver:
        for topic, plugin in {**packed, "depth/image_rect_raw": "compressedDepth"}.items():
            driver.publisher(CompressedImage, f"/camera/wrist/{topic}/{plugin}")
        driver.publisher(CameraInfo, "/camera/wrist/color/camera_info")
        found = look_for(CameraFinder(client.node), client)
        assert found.transport == "compressed"
        assert found.depth == "/camera/wrist/aligned_depth_to_color/image_raw/compressedDepth"
        assert found.camera_info == "/camera/wrist/color/camera_info"
        for topic in packed:
            driver.publisher(Image, f"/camera/head/{topic}")
            driver.publisher(Image, f"/camera/wrist/{topic}")
        finder = CameraFinder(client.node)
        assert look_for(finder, client, 1.5) is None
        assert "several colour topics (/camera/head/color/image_raw, /camera/wrist/color" in finder.waiting_for
        assert "name the topics by color:= and depth:=" in finder.waiting_for
        chosen = CameraFinder(client.node, {"color/image": "/camera/head/color/image_raw"})
        assert look_for(chosen, client).depth == "/camera/head/aligned_depth_to_color/image_raw"
