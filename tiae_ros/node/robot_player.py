"""A simulated robot hand as a ROS node: joint targets in, joint states out, and a picture while somebody looks.

    in  tiae/joint_targets   sensor_msgs/JointState, where the joints shall be; the last ones are held
    out ~/joint_states       sensor_msgs/JointState, where they are, 50 times a second
    out ~/image              sensor_msgs/Image rgb8, drawn only while somebody subscribes

Names are relative: with the node called `robot`, the perception node of the same namespace finds both at once.
It moves by the ROS clock, so that with use_sim_time it keeps to a recording's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from tiae_ros.imitation.robot_hand import RobotHand
from tiae_ros.node import messages, session
from tiae_ros.node.signals import Stop

_PERIOD_S = 0.02
_LONGEST_S = 0.2  # a longer pause of the clock is left out
_DRAWN_EVERY = 5  # periods


class SimulatedHand(Protocol):
    """What is played: a robot hand somewhere in a simulator."""

    hand: RobotHand

    @property
    def angles(self) -> np.ndarray:
        """(A,) radians now."""

    def aim(self, angles: np.ndarray) -> None:
        """Where the motors pull to."""

    def step(self, seconds: float) -> None:
        """Go on by so much time."""

    def picture(self) -> np.ndarray:
        """(H, W, 3) rgb."""


class RobotPlayer(Node):
    """One simulated hand between its topics."""

    def __init__(self, simulated: SimulatedHand, **arguments: Any) -> None:
        super().__init__("robot", **arguments)
        self._simulated = simulated
        self._goal = simulated.angles.copy()
        self._before_s: float | None = None
        self._periods = 0
        self._states = self.create_publisher(JointState, "~/joint_states", 10)
        self._image = self.create_publisher(Image, "~/image", 2)
        self._targets = self.create_subscription(JointState, "tiae/joint_targets", self._on_targets, 5)
        self._timer = self.create_timer(_PERIOD_S, self._go_on, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_targets(self, message: JointState) -> None:
        told = self._simulated.hand.in_order(message.name, message.position)
        self._goal = np.where(np.isfinite(told), told, self._goal)
        self._simulated.aim(self._simulated.hand.within_limits(self._goal))

    def _go_on(self) -> None:
        now = self.get_clock().now()
        now_s = now.nanoseconds * 1e-9
        passed_s = 0.0 if self._before_s is None else now_s - self._before_s
        self._before_s = now_s
        if 0 < passed_s <= _LONGEST_S:
            self._simulated.step(passed_s)
        header = Header(stamp=now.to_msg())
        hand = self._simulated.hand
        self._states.publish(messages.joint_state(header, hand.names, self._simulated.angles))
        self._periods += 1
        if self._periods % _DRAWN_EVERY == 0 and self._image.get_subscription_count():
            self._image.publish(messages.image(header, self._simulated.picture()))


def run_robot(simulated: SimulatedHand, ros_arguments: Sequence[str]) -> int:
    """Until a signal; returns 0. Raises ParameterError for ROS arguments that cannot be used."""
    stop = Stop()
    session.begin(ros_arguments)
    node = RobotPlayer(simulated)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.get_logger().info(f"{simulated.hand.title}, {simulated.hand.side}: simulated, waiting for joint targets")
    try:
        while not stop.asked:
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        pass
    executor.shutdown(timeout_sec=0.2)
    node.destroy_node()
    del node, executor
    session.end()
    return 0
