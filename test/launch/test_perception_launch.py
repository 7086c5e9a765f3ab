"""perception.launch.py as `ros2 launch` runs it: for `colcon test`, and skipped where `launch` is not installed."""

# ruff: noqa: E402  (the imports below are there only where `launch` is)

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path

import pytest

for package in ("launch_ros", "launch_testing", "rclpy"):
    pytest.importorskip(package, reason=f"{package} comes with a ROS 2 installation, not with the wheels")

import launch
import launch_testing.actions
import launch_testing.asserts
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test"))
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["TIAE_TEST_DOMAIN_ID"] = os.environ["ROS_DOMAIN_ID"]


@pytest.mark.launch_test
def generate_test_description():
    import torch

    from tiae_ros import TransformInvariantAutoencoder, save_model

    torch.manual_seed(0)
    folder = Path(tempfile.mkdtemp(prefix="tiae_launch_test_"))
    save_model(TransformInvariantAutoencoder(channels=("hand_mask", "object_mask")), folder / "grasp")
    save_model(TransformInvariantAutoencoder(channels=("depth",)), folder / "depth")
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(ROOT / "launch" / "perception.launch.py")),
        launch_arguments={
            "namespace": "arm",
            "model": str(folder / "grasp"),
            "depth_model": str(folder / "depth"),
            "device": "cpu",
        }.items(),
    )
    return launch.LaunchDescription([perception, launch_testing.actions.ReadyToTest()])


class TestWhileItRuns(unittest.TestCase):
    def test_images_in_grasps_out(self):
        from ros_processes import Camera, Client
        from sensor_msgs.msg import PointCloud2
        from synthetic_scenes import make_scene

        with Client() as client:
            client.listen(PointCloud2, "/arm/tiae/grasps")
            camera = Camera(client, "/arm/")
            camera.wait_for_node(40)
            client.wait_for_publishers()
            assert client.state("/arm/tiae") == "active"
            sent = camera.stream(make_scene(), 2.0, rate_hz=10)
            client.spin(0.5)
            grasps = client.received["/arm/tiae/grasps"]
            assert len(grasps) > len(sent) // 2
            assert {message.width for message in grasps} == {1}
            assert client.get_parameter("max_age_s", "/arm/tiae") == 1.0


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_it_ended_with_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
