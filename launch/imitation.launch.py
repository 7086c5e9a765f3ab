"""A robot hand that imitates: the perception node, and the hand in simulation or your own.

    ros2 launch tiae_ros imitation.launch.py camera:=realsense
    ros2 launch tiae_ros imitation.launch.py camera:=realsense robot:=real robot_hand:=allegro \
        joint_states:=/allegro/joint_states joint_targets:=/allegro/joint_cmd
    ros2 service call /tiae/imitate std_srvs/srv/SetBool "{data: true}"

Nothing moves before that call, unless imitate_at_start:=true. robot:=simulated is Shadow's hand in MuJoCo, right or
left by robot_side (extra `imitate`). Further arguments are those of perception.launch.py.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tiae_ros.errors import ParameterError
from tiae_ros.node.launching import ended_by_itself, fail
from tiae_ros.parameters import find

HERE = Path(__file__).parent
SIMULATED = "shadow"


def make_robot(context: LaunchContext) -> list[Node]:
    """The simulated hand, when it is asked for."""

    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    if given("robot") == "real":
        return []
    if given("robot_hand") != SIMULATED:
        raise ParameterError(
            f"robot_hand {given('robot_hand')!r} cannot be simulated; accepted is {SIMULATED}, or robot:=real"
        )

    def tell_the_end(context: LaunchContext) -> None:
        code = ended_by_itself(context)
        if code:
            fail(context, f"the simulated robot hand has ended by itself, with {code}; its line above says why")

    moved = {"joint_states": "~/joint_states", "joint_targets": "tiae/joint_targets"}
    return [
        Node(
            package="tiae_ros",
            executable="tiae",
            arguments=["imitate", "robot", "--side", given("robot_side") or find("robot_side").default],
            name="robot",
            namespace=given("namespace"),
            parameters=[{"use_sim_time": given("use_sim_time") == "true"}],
            remappings=[(own, given(name)) for name, own in moved.items() if given(name)],
            output="screen",
            sigterm_timeout="1",
            on_exit=[OpaqueFunction(function=tell_the_end)],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments, node, robot hand."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "robot",
                default_value="simulated",
                choices=["simulated", "real"],
                description="The robot hand: in MuJoCo, or your own driver's.",
            ),
            DeclareLaunchArgument(
                "robot_hand",
                default_value=SIMULATED,
                description="The robot hand's name (tiae imitate hands), or its YAML file.",
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "perception.launch.py"))),
            OpaqueFunction(function=make_robot),
        ]
    )
