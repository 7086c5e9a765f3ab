"""``tiae node``: the perception node, for machines with or without `ros2`."""

from __future__ import annotations

import argparse

HELP = "run the perception node (all further arguments go to ROS)"
DESCRIPTION = (
    "Runs the perception node `tiae`. Everything after `tiae node` goes to ROS 2: parameters (-p, --params-file),\n"
    "remappings (-r), log level (--log-level). Ctrl-C ends it."
)
EXAMPLES = """\
  tiae node
  tiae node --ros-args -p device:=cpu -r __ns:=/camera
  tiae node --ros-args --params-file config/perception.yaml -r color/image:=/camera/color/image_raw
  tiae node --ros-args -p autostart:=false --log-level debug
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own: see `EXAMPLES`."""


def run(arguments: argparse.Namespace) -> int:
    """Until Ctrl-C."""
    from tiae_ros.node.main import run as run_node

    return run_node(arguments.ros_arguments)
