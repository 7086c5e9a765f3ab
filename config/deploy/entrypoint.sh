#!/usr/bin/env bash
# Puts ROS and the workspace into the environment; the command takes this process's place and gets its signals.
set -e
. "/opt/ros/$ROS_DISTRO/setup.bash"
. /ws/install/setup.bash
exec "$@"
