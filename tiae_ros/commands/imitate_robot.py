"""``tiae imitate robot``: a simulated robot hand between its ROS topics."""

from __future__ import annotations

import argparse

from tiae_ros.errors import MissingExtraError, install_hint

HELP = "a simulated robot hand that takes joint targets (MuJoCo)"
DESCRIPTION = """Runs a robot hand in MuJoCo as a ROS node `robot`: it takes the joint targets of the node `tiae` of
its namespace, publishes robot/joint_states, and robot/image while somebody looks. Everything after --ros-args goes to
ROS 2. Ctrl-C ends it. Needs the extra `imitate`."""
EXAMPLES = """  tiae imitate robot
  tiae imitate robot --side left
  tiae imitate robot --ros-args -p use_sim_time:=true -r __ns:=/camera"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae imitate robot``."""
    parser.add_argument("--hand", default="shadow", help="name of the hand; accepted is shadow (default)")
    parser.add_argument("--side", choices=("right", "left"), default="right", help="default: right")
    parser.add_argument("--ros-args", nargs=argparse.REMAINDER, metavar="ROS", help="arguments for ROS 2")


def run(arguments: argparse.Namespace) -> int:
    """Until Ctrl-C."""
    from tiae_ros.imitation.robot_hand import load_hand
    from tiae_training.robots.shadow import SimulatedShadow

    simulated = SimulatedShadow(load_hand(arguments.hand, arguments.side))
    try:
        from tiae_ros.node.robot_player import run_robot
    except ImportError as error:
        raise MissingExtraError(
            f"the robot's node needs ROS 2 ({error}); source a ROS 2 installation, or: {install_hint('ros')}"
        ) from None
    words = [] if arguments.ros_args is None else ["--ros-args", *arguments.ros_args]
    return run_robot(simulated, words)
