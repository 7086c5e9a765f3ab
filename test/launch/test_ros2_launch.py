"""The launch files as `ros2 launch` runs them: exit codes, deaths, refusals. Skipped where there is no `launch`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# `ros2 launch FILE NAME:=VALUE ...` without ros2cli.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
file, *words = sys.argv[1:]
service = LaunchService(argv=words)
given = [tuple(word.split(":=", 1)) for word in words]
included = IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=given)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


def why_not() -> str:
    """Not a skip at the top: the plugin of launch_testing would drop the whole folder."""
    for package in ("launch_ros", "rclpy"):
        if not importlib.util.find_spec(package):
            return f"{package} comes with a ROS 2 installation, not with the wheels"
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    if not any((Path(prefix) / "lib/tiae_ros/tiae").exists() for prefix in prefixes):
        return "the package is not built (colcon build) and sourced"
    return ""


pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not()), pytest.mark.timeout(60)]


class Launched:
    """A launch process and all that it starts, as a group of its own."""

    def __init__(self, folder: Path, file: str, words: list[str]) -> None:
        from ros_processes import environment

        self._log = folder / "launch.log"
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(ROOT / "launch" / file), *words],
                stdout=output, stderr=subprocess.STDOUT, env=environment(), start_new_session=True, cwd=folder,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, times: int = 1, timeout_s: float = 30.0) -> list[str]:
        deadline = time.monotonic() + timeout_s
        while len(found := re.findall(pattern, self.output)) < times:
            assert time.monotonic() < deadline, f"no {pattern!r}:\n{self.output}"
            time.sleep(0.05)
        return found

    def node_pid(self, number: int = 1) -> int:
        return int(self.wait_for(r"tiae-1\]: process started with pid \[(\d+)", number)[number - 1])

    def ctrl_c(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)

    def join(self, timeout_s: float = 20.0) -> int:
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def launched(tmp_path) -> Iterator[Callable[..., Launched]]:
    """Start a launch file; what is left is killed at the end."""
    started = []

    def start(*words: str, file: str = "perception.launch.py") -> Launched:
        started.append(Launched(tmp_path, file, [*words]))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_a_node_that_dies_makes_launch_end_with_1(launched):
    launch = launched("autostart:=false")
    pid = launch.node_pid()
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    assert launch.join() == 1
    assert "tiae has ended by itself, with -9; with respawn:=true it is started again" in launch.output


def test_a_node_that_is_told_to_end_does_not(launched):
    launch = launched("autostart:=false")
    pid = launch.node_pid()
    time.sleep(2.0)
    os.kill(pid, signal.SIGTERM)
    assert launch.join() == 0


def test_a_node_that_dies_is_started_again(launched, client):
    launch = launched("respawn:=True", "use_sim_time:=True", "max_grasps:=3")
    launch.wait_for("active; listening")
    os.kill(launch.node_pid(), signal.SIGKILL)
    launch.node_pid(2)
    launch.wait_for("active; listening", 2)
    assert client.get_parameter("max_grasps") == 3
    assert client.get_parameter("use_sim_time") is True
    launch.ctrl_c()
    assert launch.join() == 0
    assert "ended by itself" not in launch.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["params_file:=/nowhere.yaml"], "params_file /nowhere.yaml is not there"),
        (["respawn:=perhaps"], "respawn cannot be 'perhaps': it must be true or false"),
        (["max_grasps:=99"], "parameter max_grasps cannot be 99: it must be within 1 … 16"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(launched, words, reason):
    launch = launched(*words)
    assert launch.join() == 1
    assert reason in launch.output
    assert "process started" not in launch.output


def test_an_argument_that_is_misspelt_is_said(launched):
    launch = launched("max_grasp:=3", "autostart:=false")
    launch.wait_for("max_grasp:= is no argument of perception.launch.py; did you mean max_grasps:=?")
    launch.node_pid()
    time.sleep(1.0)
    launch.ctrl_c()
    assert launch.join() == 0


def test_the_demonstration_of_a_bag_that_is_not_there_fails(launched):
    launch = launched("bag:=/nowhere", "view:=none", "loop:=True", file="demo.launch.py")
    assert launch.join() == 1
    assert "tiae play: error: bag /nowhere does not exist" in launch.output


def test_the_demonstration_ends_with_its_bag(launched):
    launch = launched(
        f"bag:={ROOT / 'test/data/grasps'}", "view:=none", "rate:=20", "loop:=False", file="demo.launch.py"
    )
    assert launch.join(40) == 0
    assert "played " in launch.output
