"""A recorded bag, the node on it, and rviz2 or the live page to look at the results.

    ros2 launch tiae_ros demo.launch.py bag:=test/data/grasps
    ros2 launch tiae_ros demo.launch.py bag:=my_bag loop:=true view:=true    # in a browser: http://127.0.0.1:8080
    ros2 launch tiae_ros demo.launch.py bag:=my_bag view:=none

The bag's colour, depth and camera info are found by their types, encodings and names; color:=, depth:= and
camera_info:= name others. Further arguments are those of perception.launch.py.
"""

from pathlib import Path

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from tiae_ros.node.launching import ended_by_itself, fail
from tiae_ros.parameters import read_truth
from tiae_ros.streams.bags import Bag

HERE = Path(__file__).parent
VIEW = HERE.parent / "config" / "view.rviz"


def make_node(context: LaunchContext) -> list[LogInfo | IncludeLaunchDescription]:
    """The node on the bag's camera."""
    given = {name: context.launch_configurations.get(name) or None for name in ("color", "depth", "camera_info")}
    with Bag(LaunchConfiguration("bag").perform(context)) as bag:
        found = bag.camera_topics(**given, one_transport=True)
    arguments = {"color": found.color, "depth": found.depth, "image_transport": found.transport}
    if found.camera_info:
        arguments["camera_info"] = found.camera_info
    launched = PythonLaunchDescriptionSource(str(HERE / "perception.launch.py"))
    return [
        LogInfo(msg=f"the bag's camera: {found.told}"),
        IncludeLaunchDescription(launched, launch_arguments=arguments.items()),
    ]


def make_player(context: LaunchContext) -> list[ExecuteProcess]:
    """The bag onto its topics; its end is the end of the demonstration."""
    options = ["--loop"] if read_truth("loop", LaunchConfiguration("loop").perform(context)) else []
    rate = LaunchConfiguration("rate").perform(context)
    bag = LaunchConfiguration("bag").perform(context)
    player = ExecutableInPackage(package="tiae_ros", executable="tiae")
    return [
        ExecuteProcess(
            cmd=[player, "play", "--bag", bag, "--rate", rate, *options],
            output="screen",
            on_exit=[OpaqueFunction(function=end_with_the_bag)],
        )
    ]


def end_with_the_bag(context: LaunchContext) -> list[Shutdown]:
    """The bag's end ends all, unless Ctrl-C has: a second shutdown would make `ros2 launch` end with 1."""
    if context.is_shutdown:
        return []
    code = ended_by_itself(context)
    if code:
        fail(context, f"the bag was not played: tiae play ended with {code}, its line above says why")
    return [Shutdown(reason="the bag has ended")]


def make_view(context: LaunchContext) -> list[Node | LogInfo]:
    """rviz2, when it is asked for and there."""
    if LaunchConfiguration("view").perform(context) != "rviz":
        return []
    if "rviz2" not in get_packages_with_prefixes():
        return [LogInfo(msg="rviz2 is not installed: no view; the results are on the topics of the node")]
    return [Node(package="rviz2", executable="rviz2", arguments=["-d", str(VIEW)])]


def generate_launch_description() -> LaunchDescription:
    """Arguments, node, player, viewer."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="The recording: a rosbag2 folder, or an .mcap or .db3 file."),
            DeclareLaunchArgument("rate", default_value="1.0", description="Speed; 2.0 plays twice as fast."),
            DeclareLaunchArgument(
                "loop", default_value="false", description="Play it again and again (true or false)."
            ),
            DeclareLaunchArgument(
                "view",
                default_value="rviz",
                choices=["rviz", "true", "false", "none"],
                description="rviz: start rviz2 with config/view.rviz; true: the live page of `tiae view`.",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="camera", description="Namespace of the node and its results."
            ),
            OpaqueFunction(function=make_node),
            OpaqueFunction(function=make_player),
            OpaqueFunction(function=make_view),
        ]
    )
