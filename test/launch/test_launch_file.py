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
from tiae_ros.parameters import TABLE, yaml_value

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


class Context(dict):
    """Launch arguments by name, and what else of launch's context the files ask for."""

    argv: tuple[str, ...] = ()

    @property
    def launch_configurations(self) -> dict[str, str]:
        return self


def node_for(launch_file: Any, arguments: dict[str, Any], **given: str) -> dict[str, Any]:
    """What the node is started with."""
    context = Context({name: named["default_value"] for name, named in arguments.items()} | given)
    (node,) = launch_file.make_node(context)
    return node.named


class Ended:
    """The context of the end of a process, and what launch is told to do about it."""

    def __init__(self, returncode: int, is_shutdown: bool = False) -> None:
        self.is_shutdown = is_shutdown
        self.locals = SimpleNamespace(event=SimpleNamespace(returncode=returncode))
        self.said: list[str] = []
        self.asyncio_loop = SimpleNamespace(call_exception_handler=lambda what: self.said.append(what["message"]))


def test_every_argument_is_documented(arguments):
    assert {"namespace", "camera", "params_file", "use_sim_time", "respawn", "log_level"} <= set(arguments)
    for named in arguments.values():
        assert named["description"].strip().endswith(".")
    for row in TABLE:  # all of them: launch ignores an argument that is not declared
        assert arguments[row.name]["default_value"] == ""
        assert f"else {yaml_value(row.default)}." in arguments[row.name]["description"]


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
    (at_its_end,) = named["on_exit"]
    for ended in (Ended(0), Ended(-2), Ended(-15), Ended(-9, is_shutdown=True), Ended(1, is_shutdown=True)):
        assert at_its_end.named["function"](ended) is None
        assert ended.said == []


@pytest.mark.parametrize("code", [-9, -11, 1, 2])
def test_a_death_ends_with_1_unless_the_node_is_started_again(launch_file, arguments, code):
    for respawn, lines in (("false", 1), ("True", 0)):
        named = node_for(launch_file, arguments, respawn=respawn)
        assert named["respawn"] == (respawn == "True")
        (at_its_end,) = named["on_exit"]
        ended = Ended(code)
        assert at_its_end.named["function"](ended) is None  # no Shutdown: others may go on
        assert len(ended.said) == lines


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("FALSE", False), ("1", True), ("0", False)]
)
def test_truth_is_taken_as_people_write_it(launch_file, arguments, text, value):
    named = node_for(launch_file, arguments, use_sim_time=text, autostart=text, respawn=text)
    chosen = {name: given.positional[0] for name, given in named["parameters"][1].items()}
    assert chosen == {"use_sim_time": value, "autostart": value}
    assert named["respawn"] is value


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"params_file": "/nowhere.yaml"}, "params_file /nowhere.yaml is not there"),
        ({"params_file": "/tmp"}, "params_file /tmp is not there"),
        ({"use_sim_time": "yes"}, "use_sim_time cannot be 'yes': it must be true or false"),
        ({"respawn": ""}, "respawn cannot be ''"),
        ({"max_grasps": "many"}, "parameter max_grasps cannot be 'many': it must be a whole number"),
    ],
)
def test_what_cannot_be_used_is_refused(launch_file, arguments, given, reason):
    with pytest.raises(ParameterError, match=re.escape(reason)):
        node_for(launch_file, arguments, **given)


def test_misspelt_arguments_are_said(launch_file):
    words = ["max_grasp:=3", "camera:=none", "my_own:=1", "--debug", "params_files:=x"]
    grasps, files = launch_file.misspelt(words)
    assert "max_grasp:= is no argument of perception.launch.py; did you mean max_grasps:=?" in grasps
    assert "did you mean params_file:=?" in files


def test_cameras_remap_what_the_node_listens_to(launch_file, arguments):
    from tiae_ros.streams.camera_drivers import DRIVERS

    source = (ROOT / "tiae_ros" / "node" / "inputs.py").read_text()
    inputs = set(re.findall(r'"((?:color|depth)/[a-z_]+)"', source))
    assert inputs == {"color/image", "depth/image", "color/camera_info"} == set(launch_file.INPUTS.values())
    assert arguments["camera"]["choices"] == ["none", "auto", *DRIVERS]
    for camera in DRIVERS:
        rules = dict(node_for(launch_file, arguments, camera=camera)["remappings"])
        assert inputs < set(rules)
        assert all(name.startswith("/") and "//" not in name and "NAME" not in name for name in rules.values())
        assert rules["depth/image/compressedDepth"] == f"{rules['depth/image']}/compressedDepth"


def test_auto_leaves_the_search_to_the_node(launch_file, arguments):
    named = node_for(launch_file, arguments, camera="auto", depth="/filtered")
    assert named["parameters"][1]["find_camera"].positional[0] is True
    assert dict(named["remappings"])["depth/image"] == "/filtered"


@pytest.mark.parametrize(
    ("given", "color", "depth", "info"),
    [
        ({"camera": "realsense"}, "/camera/camera/color/image_raw",
         "/camera/camera/aligned_depth_to_color/image_raw", "/camera/camera/color/camera_info"),
        ({"camera": "realsense", "camera_name": "wrist"}, "/camera/wrist/color/image_raw",
         "/camera/wrist/aligned_depth_to_color/image_raw", "/camera/wrist/color/camera_info"),
        ({"camera": "orbbec", "camera_name": "left"}, "/left/color/image_raw", "/left/depth/image_raw",
         "/left/color/camera_info"),
        ({"camera": "oak", "camera_name": "/head/"}, "/head/rgb/image_raw", "/head/stereo/image_raw",
         "/head/rgb/camera_info"),
        ({"camera": "kinect"}, "/rgb/image_raw", "/depth_to_rgb/image_raw", "/rgb/camera_info"),
        ({"camera": "kinect", "camera_name": "front"}, "/front/rgb/image_raw", "/front/depth_to_rgb/image_raw",
         "/front/rgb/camera_info"),
        ({"camera": "zed", "camera_name": "zed2i"}, "/zed2i/zed_node/rgb/color/rect/image",
         "/zed2i/zed_node/depth/depth_registered", "/zed2i/zed_node/rgb/color/rect/camera_info"),
        ({"color": "/rgb/image_rect", "depth": "/d"}, "/rgb/image_rect", "/d", "/rgb/camera_info"),
        ({"color": "/my/rgb", "depth": "/d", "camera_info": "/info"}, "/my/rgb", "/d", "/info"),
        ({"camera": "orbbec", "depth": "/filtered"}, "/camera/color/image_raw", "/filtered",
         "/camera/color/camera_info"),
        ({"color": "/a/rgb/compressed", "depth": "/b/z/compressedDepth"}, "/a/rgb", "/b/z", "/a/camera_info"),
    ],
)  # fmt: skip
def test_drivers_under_another_name(launch_file, arguments, given, color, depth, info):
    assert dict(node_for(launch_file, arguments, **given)["remappings"]) == {
        "color/image": color,
        "color/image/compressed": f"{color}/compressed",
        "depth/image": depth,
        "depth/image/compressedDepth": f"{depth}/compressedDepth",
        "color/camera_info": info,
    }


def test_the_page_is_started_when_it_is_asked_for(launch_file, arguments):
    from tiae_ros.cli import build_parser

    def pages(**given: str) -> list[Any]:
        return launch_file.make_page({name: named["default_value"] for name, named in arguments.items()} | given)

    # rviz and none are of demo.launch.py, which passes its argument of that name on.
    assert pages() == pages(view="none") == pages(view="rviz") == pages(view="False") == []
    for namespace, node in (("", "/tiae"), ("/left", "/left/tiae")):
        (page,) = pages(view="true", namespace=namespace)
        executable, *words = page.named["cmd"]
        assert executable.named == {"package": "tiae_ros", "executable": "tiae"}
        assert build_parser().parse_args(words).node == node
        assert "on_exit" not in page.named  # without it the node goes on
    with pytest.raises(ParameterError, match="view cannot be 'yes'"):
        pages(view="yes")


def test_the_demonstration_plays_by_tiae_play(monkeypatch):
    from tiae_ros.cli import build_parser

    demo = load("demo.launch.py", monkeypatch)
    (entities,) = demo.generate_launch_description().positional
    declared = {e.positional[0]: e.named for e in entities if type(e).__name__ == "DeclareLaunchArgument"}
    assert "default_value" not in declared["bag"]  # it has to be given
    assert all(named["description"].endswith(".") for named in declared.values())
    asked = Context({"bag": str(ROOT / "test" / "data" / "grasps")})
    told, perception = demo.make_node(asked)
    assert "colour is /camera/color/image" in told.named["msg"]
    assert dict(perception.named["launch_arguments"]) == {
        "color": "/camera/color/image",
        "depth": "/camera/depth/image",
        "camera_info": "/camera/color/camera_info",
        "image_transport": "raw",
    }
    (player,) = demo.make_player({"bag": "my_bag", "rate": "2.0", "loop": "True"})
    executable, *words = player.named["cmd"]
    assert executable.named == {"package": "tiae_ros", "executable": "tiae"}
    parsed = build_parser().parse_args(words)
    assert (parsed.bag, parsed.rate, parsed.loop) == ("my_bag", 2.0, True)
    (at_its_end,) = player.named["on_exit"]
    end = at_its_end.named["function"]
    whole, broken, over = Ended(0), Ended(2), Ended(0, is_shutdown=True)
    assert [type(action).__name__ for action in [*end(whole), *end(broken)]] == ["Shutdown"] * 2
    assert end(over) == whole.said == over.said == []
    assert broken.said == ["the bag was not played: tiae play ended with 2, its line above says why"]
    assert demo.make_view({"view": "none"}) == []
    monkeypatch.setattr(demo, "get_packages_with_prefixes", dict)
    (remark,) = demo.make_view({"view": "rviz"})
    assert "rviz2 is not installed" in remark.named["msg"]
    monkeypatch.setattr(demo, "get_packages_with_prefixes", lambda: {"rviz2": "/opt/ros"})
    (view,) = demo.make_view({"view": "rviz"})
    assert Path(view.named["arguments"][1]).is_file()


def test_a_robot_hand_gets_its_topics(launch_file, arguments):
    own = {"joint_states": "robot/joint_states", "joint_targets": "~/joint_targets",
           "joint_trajectory": "~/joint_trajectory"}  # fmt: skip
    rules = dict(node_for(launch_file, arguments, **{name: f"/my/{name}" for name in own})["remappings"])
    assert rules == {topic: f"/my/{name}" for name, topic in own.items()}


def test_the_simulated_hand_is_started_beside_the_node(monkeypatch):
    from tiae_ros.cli import build_parser

    imitation = load("imitation.launch.py", monkeypatch)
    (entities,) = imitation.generate_launch_description().positional
    declared = {e.positional[0]: e.named for e in entities if type(e).__name__ == "DeclareLaunchArgument"}
    assert all(named["description"].endswith(".") for named in declared.values())
    assert declared["robot"]["choices"] == ["simulated", "real"]
    given = {"robot": "simulated", "robot_hand": "shadow", "robot_side": "left", "namespace": "arm",
             "use_sim_time": "true", "joint_states": "/my/states", "joint_targets": ""}  # fmt: skip
    (robot,) = imitation.make_robot(given)
    parsed = build_parser().parse_args([" ".join(robot.named["arguments"][:2]), *robot.named["arguments"][2:]])
    assert (parsed.subcommand, parsed.hand, parsed.side) == ("imitate robot", "shadow", "left")
    assert (robot.named["name"], robot.named["namespace"]) == ("robot", "arm")
    assert robot.named["parameters"] == [{"use_sim_time": True}]
    assert robot.named["remappings"] == [("~/joint_states", "/my/states")]
    (at_its_end,) = robot.named["on_exit"]
    asked, dead = Ended(0), Ended(2)
    assert at_its_end.named["function"](asked) is at_its_end.named["function"](dead) is None
    assert not asked.said
    assert "its line above says why" in dead.said[0]
    assert imitation.make_robot({**given, "robot": "real"}) == []
    with pytest.raises(ParameterError, match="'allegro' cannot be simulated; accepted is shadow, or robot:=real"):
        imitation.make_robot({**given, "robot_hand": "allegro"})
