"""The scenarios of `scenarios.py` on `tiae node`; `test/launch` runs the same under `ros2 launch`."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from ros_processes import node_process
from scenarios import SCENARIOS, Stage

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenarios")
    with node_process(folder, arguments=["-r", "__ns:=/stage"]) as process:
        yield process
        assert "Traceback" not in process.output


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(client, node, tmp_path, scenario):
    SCENARIOS[scenario](Stage(client, "/stage", tmp_path))
