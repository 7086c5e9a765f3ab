"""The perception node.

    ros2 launch tiae_ros perception.launch.py camera:=realsense
    ros2 launch tiae_ros perception.launch.py camera:=auto
    ros2 launch tiae_ros perception.launch.py camera:=realsense camera_name:=wrist respawn:=true
    ros2 launch tiae_ros perception.launch.py color:=/my/rgb/image_raw depth:=/my/depth/image_rect
    ros2 launch tiae_ros perception.launch.py namespace:=left_arm model:=/models/mine device:=cuda:0
    ros2 launch tiae_ros perception.launch.py camera:=realsense view:=true    # and the live page, http://127.0.0.1:8080
    ros2 launch tiae_ros perception.launch.py --show-args

An argument that is not given leaves the choice to params_file, and that to the node's own table: no
default is written down twice. The node configures and activates itself (its parameter autostart).

A node that dies is started again with respawn:=true. Without it launch goes on with what else it runs, and in the end
returns 1.
"""

import difflib
from collections.abc import Callable
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import ExecutableInPackage

from tiae_ros.errors import ParameterError
from tiae_ros.node.launching import ended_by_itself, fail
from tiae_ros.parameters import TABLE, read_truth, yaml_value
from tiae_ros.streams.camera_drivers import DRIVERS
from tiae_ros.streams.camera_topics import PLUGINS

INPUTS = {"color": "color/image", "depth": "depth/image", "camera_info": "color/camera_info"}
NONE, AUTO = "none", "auto"
ROBOT = {  # of a robot hand that imitates
    "joint_states": "robot/joint_states",
    "joint_targets": "~/joint_targets",
    "joint_trajectory": "~/joint_trajectory",
}
PARAMS_FILE = Path(__file__).parents[1] / "config" / "perception.yaml"
RESPAWN_DELAY_S = 2.0
OTHER_VIEWS = ("rviz", "none")  # of demo.launch.py, whose argument has this name too


def remappings(given: Callable[[str], str]) -> list[tuple[str, str]]:
    """The camera's topics, and the compressed ones beside them."""
    camera = given("camera")
    topics = DRIVERS[camera].topics(given("camera_name")) if camera in DRIVERS else {}
    topics |= {INPUTS[argument]: given(argument) for argument in INPUTS if given(argument)}
    if given("color") and not given("camera_info"):
        folder, slash, _ = given("color").removesuffix("/compressed").rpartition("/")
        topics["color/camera_info"] = f"{folder}{slash}camera_info"
    rules = {}
    for own, topic in topics.items():
        plugin = PLUGINS.get(own)
        rules[own] = topic.removesuffix(f"/{plugin}")
        if plugin:
            rules[f"{own}/{plugin}"] = f"{rules[own]}/{plugin}"
    rules |= {own: given(argument) for argument, own in ROBOT.items() if given(argument)}
    return list(rules.items())


def make_node(context: LaunchContext) -> list[LifecycleNode | LogInfo]:
    """The node with the arguments that were given."""

    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    chosen = {row.name: row.parse(given(row.name)) for row in TABLE if given(row.name)}
    if given("camera") == AUTO:
        chosen["find_camera"] = True
    if given("use_sim_time"):
        chosen["use_sim_time"] = read_truth("use_sim_time", given("use_sim_time"))
    params_file = Path(given("params_file")).expanduser()
    if not params_file.is_file():  # launch itself would go on without it
        raise ParameterError(f"params_file {params_file} is not there; accepted is the path of a YAML file")
    respawn = read_truth("respawn", given("respawn"))

    def tell_the_end(context: LaunchContext) -> None:
        code = ended_by_itself(context)
        if code and not respawn:
            fail(context, f"tiae has ended by itself, with {code}; with respawn:=true it is started again")

    node = LifecycleNode(
        package="tiae_ros",
        executable="tiae",
        arguments=["node"],
        name="tiae",
        namespace=given("namespace"),
        parameters=[str(params_file), *([typed(chosen)] if chosen else [])],
        remappings=remappings(given),
        ros_arguments=["--log-level", given("log_level")],
        output="screen",
        emulate_tty=True,
        # Ctrl-C reaches the node at once. Where only launch itself gets the signal (a container), it passes it
        # on as SIGTERM after this time, 5 s by default.
        sigterm_timeout="1",
        respawn=respawn,
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=[OpaqueFunction(function=tell_the_end)],
    )
    return [*(LogInfo(msg=line) for line in misspelt(context.argv)), node]


def make_page(context: LaunchContext) -> list[ExecuteProcess]:
    """The live page, when it is asked for; its end, or that it cannot be there, is nothing to the node."""
    wanted = LaunchConfiguration("view").perform(context)
    if wanted in OTHER_VIEWS or not read_truth("view", wanted):
        return []
    namespace = LaunchConfiguration("namespace").perform(context).strip("/")
    node = f"/{namespace}/tiae" if namespace else "/tiae"
    page = ExecutableInPackage(package="tiae_ros", executable="tiae")
    return [ExecuteProcess(cmd=[page, "view", "--node", node], output="screen")]


def misspelt(words: list[str]) -> list[str]:
    """A line for each word of the command line that is nearly an argument; `ros2 launch` ignores it without one."""
    names = [name for name, assigned, _ in (word.partition(":=") for word in words) if assigned]
    lines = []
    for name in names:
        near = difflib.get_close_matches(name, ARGUMENTS, n=1, cutoff=0.8)
        if near and name not in ARGUMENTS:
            lines.append(f"WARNING: {name}:= is no argument of perception.launch.py; did you mean {near[0]}:=?")
    return lines


def typed(values: dict[str, object]) -> dict[str, object]:
    """Values that keep their type: launch would read the text "1" as a number."""
    from launch_ros.parameter_descriptions import ParameterValue

    return {name: ParameterValue(value, value_type=type(value)) for name, value in values.items()}


ARGUMENTS = {
    "namespace": {"default_value": "", "description": "Namespace of the node and its topics."},
    "camera": {
        "default_value": NONE,
        "choices": [NONE, AUTO, *DRIVERS],
        "description": "Listen to the topics of this camera's driver (realsense: start it with "
        "align_depth.enable:=true, orbbec: with depth_registration:=true). auto: find the one camera that publishes, "
        "and wait until it does; what color, depth and camera_info name is taken as it is. none: color/image, "
        "depth/image and color/camera_info in the namespace.",
    },
    "camera_name": {
        "default_value": "",
        "description": "The name that this driver was started with (its camera_name; of oak: name). "
        f"Empty: {', '.join(f'{driver.default_name} ({camera})' for camera, driver in DRIVERS.items())}.",
    },
    "color": {"default_value": "", "description": "Topic of the colour images. Empty: as camera has it."},
    "depth": {"default_value": "", "description": "Topic of the registered depth images. Empty: as camera has it."},
    "camera_info": {
        "default_value": "",
        "description": "Topic of the camera info. Empty: beside color, if that is given, else as camera has it.",
    },
    "joint_states": {
        "default_value": "",
        "description": "Topic of the robot hand's joint states. Empty: robot/joint_states in the namespace.",
    },
    "joint_targets": {
        "default_value": "",
        "description": "Topic that the robot hand takes joint targets on. Empty: joint_targets of the node.",
    },
    "joint_trajectory": {
        "default_value": "",
        "description": "Topic of a joint_trajectory_controller (with imitation_trajectory:=true). Empty: "
        "joint_trajectory of the node.",
    },
    "params_file": {"default_value": str(PARAMS_FILE), "description": "Parameters of the node, as a YAML file."},
    **{
        row.name: {
            "default_value": "",
            "description": f"{row.meaning[0].upper()}{row.meaning[1:]} ({row.accepted}). "
            f"Empty: as in params_file, else {yaml_value(row.default)}.",
        }
        for row in TABLE
    },
    "use_sim_time": {
        "default_value": "",
        "description": "Take the time from /clock (true or false). Empty: as in params_file, else false.",
    },
    "respawn": {
        "default_value": "false",
        "description": f"Start the node again, after {RESPAWN_DELAY_S:g} s, when it ends by itself (true or false). "
        "Otherwise launch returns 1 then.",
    },
    "view": {
        "default_value": "false",
        "description": "Show the node live in a browser, at http://127.0.0.1:8080 (true or false); see `tiae view`.",
    },
    "log_level": {
        "default_value": "info",
        "choices": ["debug", "info", "warn", "error", "fatal"],
        "description": "What the node logs.",
    },
}


def generate_launch_description() -> LaunchDescription:
    """Arguments, the node, and its page."""
    arguments = [DeclareLaunchArgument(name, **named) for name, named in ARGUMENTS.items()]
    return LaunchDescription([*arguments, OpaqueFunction(function=make_node), OpaqueFunction(function=make_page)])
