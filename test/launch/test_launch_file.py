"""The launch file against the node, where `launch` itself may be absent: it runs on recording stand-ins here.

`test_perception_launch.py` runs it for real where `launch` is installed.
"""

from __future__ import annotations

import configparser
import importlib.util
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tiae_ros.errors import ParameterError
from tiae_ros.parameters import LIVE, TABLE, yaml_value

ROOT = Path(__file__).resolve().parents[2]


class Recorded:
    """Any class of `launch`: keeps what it was made with."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        self.positional, self.named = positional, named

    def perform(self, context: dict[str, str]) -> str:
        return context[self.positional[0]]


STAND_INS = {
    "ament_index_python": [],
    "ament_index_python.packages": ["get_packages_with_prefixes"],
    "launch": ["LaunchContext", "LaunchDescription"],
    "launch.actions": [
        "DeclareLaunchArgument",
        "ExecuteProcess",
        "IncludeLaunchDescription",
        "LogInfo",
        "OpaqueFunction",
        "Shutdown",
    ],
    "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
    "launch.substitutions": ["LaunchConfiguration"],
    "launch_ros": [],
    "launch_ros.actions": ["LifecycleNode", "Node"],
    "launch_ros.parameter_descriptions": ["ParameterValue"],
    "launch_ros.substitutions": ["ExecutableInPackage"],
}


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A launch file as a module."""
    for package, classes in STAND_INS.items():
        module = ModuleType(package)
        for one in classes:
            setattr(module, one, type(one, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, package, module)
    spec = importlib.util.spec_from_file_location(name.replace(".", "_"), ROOT / "launch" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch_file(monkeypatch):
    """launch/perception.launch.py as a module."""
    return load("perception.launch.py", monkeypatch)


@pytest.fixture
def arguments(launch_file):
    """Launch arguments by name."""
    (entities,) = launch_file.generate_launch_description().positional
    return {e.positional[0]: e.named for e in entities if type(e).__name__ == "DeclareLaunchArgument"}


def node_for(launch_file: Any, arguments: dict[str, Any], **given: str) -> dict[str, Any]:
    """What the node is started with."""
    context = {name: named["default_value"] for name, named in arguments.items()} | given
    (node,) = launch_file.make_node(context)
    return node.named


def test_every_argument_is_documented(arguments):
    assert {"namespace", "camera", "params_file", "model", "device", "autostart", "use_sim_time", "log_level"} <= set(
        arguments
    )
    for named in arguments.values():
        assert named["description"].strip().endswith(".")
    for row in TABLE:
        if row.change != LIVE:
            assert arguments[row.name]["default_value"] == ""
            assert f"else {yaml_value(row.default)}." in arguments[row.name]["description"]
        else:
            assert row.name not in arguments


def test_without_arguments_defaults_are_the_node_s(launch_file, arguments):
    named = node_for(launch_file, arguments)
    (params_file,) = named["parameters"]
    assert Path(params_file).samefile(ROOT / "config" / "perception.yaml")


def test_given_arguments_reach_the_node_with_their_type(launch_file, arguments):
    named = node_for(
        launch_file, arguments, model="1", autostart="false", use_sim_time="true", diagnostics_period_s="2"
    )
    chosen = {name: (value.positional[0], value.named) for name, value in named["parameters"][1].items()}
    assert chosen == {
        "model": ("1", {"value_type": str}),
        "autostart": (False, {"value_type": bool}),
        "use_sim_time": (True, {"value_type": bool}),
        "diagnostics_period_s": (2.0, {"value_type": float}),
    }


def test_a_wrong_argument_is_refused_with_the_reason(launch_file, arguments):
    with pytest.raises(ParameterError, match=r"device cannot be 'gpu': accepted is auto"):
        node_for(launch_file, arguments, device="gpu")


def test_the_executable_is_where_ros2_launch_looks(launch_file, arguments):
    named = node_for(launch_file, arguments)
    assert (named["package"], named["executable"], named["arguments"]) == ("tiae_ros", "tiae", ["node"])
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["install"]["install_scripts"] == "$base/lib/tiae_ros"
    assert 'tiae = "tiae_ros.cli:main"' in (ROOT / "pyproject.toml").read_text()
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert {"launch", "launch_ros", "rclpy"} <= {e.text for e in package.iter("exec_depend")}


def test_ctrl_c_ends_with_0(launch_file, arguments):
    """A lifecycle node with on_exit=Shutdown makes `ros2 launch` end with 1."""
    named = node_for(launch_file, arguments)
    assert float(named["sigterm_timeout"]) <= 1  # where the signal reaches launch alone
    assert "on_exit" not in named
    assert "respawn" not in named


def test_cameras_remap_what_the_node_listens_to(launch_file, arguments):
    source = (ROOT / "tiae_ros" / "node" / "inputs.py").read_text()
    inputs = set(re.findall(r'"((?:color|depth)/[a-z_]+)"', source))
    assert inputs == {"color/image", "depth/image", "color/camera_info"}
    assert arguments["camera"]["choices"] == list(launch_file.CAMERAS)
    for camera, topics in launch_file.CAMERAS.items():
        assert set(topics) in ({*inputs}, set())
        rules = dict(node_for(launch_file, arguments, camera=camera)["remappings"])
        assert all(name.startswith("/") for name in rules.values())
        if topics:
            assert rules["depth/image/compressedDepth"] == f"{topics['depth/image']}/compressedDepth"


def test_the_demonstration_plays_by_tiae_play(monkeypatch):
    from tiae_ros.cli import build_parser

    demo = load("demo.launch.py", monkeypatch)
    (entities,) = demo.generate_launch_description().positional
    declared = {e.positional[0]: e.named for e in entities if type(e).__name__ == "DeclareLaunchArgument"}
    assert "default_value" not in declared["bag"]  # it has to be given
    assert all(named["description"].endswith(".") for named in declared.values())
    (player,) = demo.make_player({"bag": "my_bag", "rate": "2.0", "loop": "true"})
    executable, *words = player.named["cmd"]
    assert executable.named == {"package": "tiae_ros", "executable": "tiae"}
    parsed = build_parser().parse_args(words)
    assert (parsed.bag, parsed.rate, parsed.loop) == ("my_bag", 2.0, True)
    (at_its_end,) = player.named["on_exit"]
    end = at_its_end.named["function"]
    assert [type(action).__name__ for action in end(SimpleNamespace(is_shutdown=False))] == ["Shutdown"]
    assert end(SimpleNamespace(is_shutdown=True)) == []
    assert demo.make_view({"view": "none"}) == []
    monkeypatch.setattr(demo, "get_packages_with_prefixes", dict)
    (remark,) = demo.make_view({"view": "rviz"})
    assert "rviz2 is not installed" in remark.named["msg"]
    monkeypatch.setattr(demo, "get_packages_with_prefixes", lambda: {"rviz2": "/opt/ros"})
    (view,) = demo.make_view({"view": "rviz"})
    assert Path(view.named["arguments"][1]).is_file()
