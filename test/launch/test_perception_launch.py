"""perception.launch.py as `ros2 launch` runs it: for `colcon test`, and skipped where `launch` is not installed."""

# ruff: noqa: E402, PT009  (the imports below are there only where `launch` is; its tests are unittest's)

from __future__ import annotations

import importlib.util
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
from ros_processes import DOMAIN, Client
from scenarios import SCENARIOS, Stage

# The launched node has to be in the domain of the client, which may have been chosen when pytest collected other files.
os.environ["ROS_DOMAIN_ID"] = str(DOMAIN)


@pytest.mark.timeout(300)  # all of this file is one test to pytest
@pytest.mark.launch_test
def generate_test_description():
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(ROOT / "launch" / "perception.launch.py")),
        launch_arguments={"namespace": "arm"}.items(),  # everything else is as it comes
    )
    return launch.LaunchDescription([perception, launch_testing.actions.ReadyToTest()])


class TestWhileItRuns(unittest.TestCase):
    """The scenarios that `test/node/test_scenarios.py` runs without launch."""

    def run_scenario(self, name: str) -> None:
        if not importlib.util.find_spec("rosbags"):
            self.skipTest("the recordings are read with the package rosbags")
        with Client() as client, tempfile.TemporaryDirectory(prefix="tiae_launch_test_") as folder:
            SCENARIOS[name](Stage(client, "/arm", Path(folder)))

    def test_normal(self):
        self.run_scenario("normal")

    def test_empty_scene(self):
        self.run_scenario("empty_scene")

    def test_two_hands(self):
        self.run_scenario("two_hands")

    def test_encoding_change(self):
        self.run_scenario("encoding_change")

    def test_camera_stall(self):
        self.run_scenario("camera_stall")

    def test_clock_jump(self):
        self.run_scenario("clock_jump")

    def test_it_is_active_with_its_own_defaults(self):
        from tiae_ros.parameters import Settings

        with Client() as client:
            self.assertEqual(client.state("/arm/tiae"), "active")
            for name in ("max_age_s", "slop_s", "skin_max"):
                self.assertEqual(client.get_parameter(name, "/arm/tiae"), getattr(Settings(), name))


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_it_ended_with_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
