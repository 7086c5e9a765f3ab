"""The perception node.

    ros2 launch tiae_ros perception.launch.py camera:=realsense
    ros2 launch tiae_ros perception.launch.py namespace:=left_arm model:=/models/mine device:=cuda:0
    ros2 launch tiae_ros perception.launch.py --show-args

An argument that is not given leaves the choice to params_file, and that to the node's own table: no
default is written down twice. The node configures and activates itself (its parameter autostart).
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from tiae_ros.parameters import LIVE, TABLE, yaml_value

# Where camera drivers publish by default, and what they have to be told for it (checked against their sources).
CAMERAS = {
    "none": {},
    "realsense": {  # realsense2_camera 4.x, rs_launch.py
        "color/image": "/camera/camera/color/image_raw",
        "depth/image": "/camera/camera/aligned_depth_to_color/image_raw",
        "color/camera_info": "/camera/camera/color/camera_info",
    },
    "orbbec": {  # orbbec_camera 2.x, the launch file of the camera's series
        "color/image": "/camera/color/image_raw",
        "depth/image": "/camera/depth/image_raw",
        "color/camera_info": "/camera/color/camera_info",
    },
    "oak": {  # depthai_ros_driver; depth is aligned to the colour camera unless it is told otherwise
        "color/image": "/oak/rgb/image_raw",
        "depth/image": "/oak/stereo/image_raw",
        "color/camera_info": "/oak/rgb/camera_info",
    },
    "zed": {  # zed_wrapper 5.1 and newer; before, colour was rgb/image_rect_color
        "color/image": "/zed/zed_node/rgb/color/rect/image",
        "depth/image": "/zed/zed_node/depth/depth_registered",
        "color/camera_info": "/zed/zed_node/rgb/color/rect/camera_info",
    },
}
PARAMS_FILE = Path(__file__).parents[1] / "config" / "perception.yaml"
# What changes while the node runs is set in params_file, or by `ros2 param set`.
ROWS = [row for row in TABLE if row.change != LIVE]


def remappings(camera: str) -> list[tuple[str, str]]:
    """The camera's topics, and the compressed ones beside them."""
    rules = list(CAMERAS[camera].items())
    for name, plugin in (("color/image", "compressed"), ("depth/image", "compressedDepth")):
        if name in CAMERAS[camera]:
            rules.append((f"{name}/{plugin}", f"{CAMERAS[camera][name]}/{plugin}"))
    return rules


def make_node(context: LaunchContext) -> list[LifecycleNode]:
    """The node with the arguments that were given."""

    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    chosen = {row.name: row.parse(given(row.name)) for row in ROWS if given(row.name)}
    if given("use_sim_time"):
        chosen["use_sim_time"] = given("use_sim_time").lower() == "true"
    return [
        LifecycleNode(
            package="tiae_ros",
            executable="tiae",
            arguments=["node"],
            name="tiae",
            namespace=given("namespace"),
            parameters=[given("params_file"), *([typed(chosen)] if chosen else [])],
            remappings=remappings(given("camera")),
            ros_arguments=["--log-level", given("log_level")],
            output="screen",
            emulate_tty=True,
            # Ctrl-C reaches the node at once. Where only launch itself gets the signal (a container), it passes it
            # on as SIGTERM after this time, 5 s by default.
            sigterm_timeout="1",
        )
    ]


def typed(values: dict[str, object]) -> dict[str, object]:
    """Values that keep their type: launch would read the text "1" as a number."""
    from launch_ros.parameter_descriptions import ParameterValue

    return {name: ParameterValue(value, value_type=type(value)) for name, value in values.items()}


def generate_launch_description() -> LaunchDescription:
    """Arguments, and the node."""
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics."),
        DeclareLaunchArgument(
            "camera",
            default_value="none",
            choices=list(CAMERAS),
            description="Listen to the topics of this camera's driver (realsense: start it with "
            "align_depth.enable:=true, orbbec: with depth_registration:=true); none: color/image, depth/image and "
            "color/camera_info in the namespace.",
        ),
        DeclareLaunchArgument(
            "params_file", default_value=str(PARAMS_FILE), description="Parameters of the node, as a YAML file."
        ),
        *(
            DeclareLaunchArgument(
                row.name,
                default_value="",
                description=f"{row.meaning[0].upper()}{row.meaning[1:]} ({row.accepted}). "
                f"Empty: as in params_file, else {yaml_value(row.default)}.",
            )
            for row in ROWS
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="",
            choices=["", "true", "false"],
            description="Take the time from /clock. Empty: as in params_file, else false.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="What the node logs.",
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=make_node)])
