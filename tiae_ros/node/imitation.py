"""The node's part that a robot hand follows: the operator's hand in a frame -> joint targets, or none and why.

Made after the descriptor is published and before anything else, for the main grasp. Targets go out while following
and in no other state; holding the last one is the controller's work.

    configure   the hand's file is read
    activate    subscribed to the robot's joints; enabled if imitate_at_start
    ~/imitate   enabled (the robot hand moves) or disabled
    deactivate  disabled
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from tiae_ros.errors import ParameterError
from tiae_ros.imitation.calibration import load_map
from tiae_ros.imitation.gate import GateSettings, Observation, State
from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.imitation.imitator import Imitation, Imitator
from tiae_ros.imitation.observing import observation_of
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.imitation.safe_motion import SafetySettings
from tiae_ros.node import messages
from tiae_ros.node.health import Health
from tiae_ros.node.outputs import Outputs
from tiae_ros.node.statistics import Statistics
from tiae_ros.parameters import Settings
from tiae_ros.perception import Described, FrameDropped, Pipeline

TARGET = "joint target"
ROBOT_TOPIC = "robot/joint_states"
HAND_TOPICS = ("hand_joints",)
ROBOT_TOPICS = ("joint_targets", "joint_trajectory", "imitation_state")
_ROBOT_AGE_S = 1.0  # a joint state that came longer ago does not say where the robot is
_STANDSTILL_S = 5.0  # without a frame, of simulated time that may stand still
_SOURCES = 64  # parts of a robot that publish joint states of their own
_SHORTEST_S, _LONGEST_S = 0.02, 0.25  # of a trajectory's point, beyond the frame's age


class RobotImitation:
    """What follows the operator's hand. `follow` runs on the worker's thread, everything else on the executor's."""

    def __init__(self, node: LifecycleNode, outputs: Outputs, health: Health, statistics: Statistics) -> None:
        self._node, self._outputs, self._health, self._statistics = node, outputs, health, statistics
        self._lock = threading.Lock()  # of the imitator, which both threads use
        self._imitator: Imitator | None = None
        self._settings = Settings()
        self._subscription: Any = None
        self._silence: Any = None  # timer
        self._robot: dict[str, tuple[float, JointState]] = {}
        self._header = Header()
        self._followed, self._followed_s = time.monotonic(), 0.0  # when the last frame came, by the ROS clock too
        self._last_target_s: float | None = None
        self._said: State | None = None
        self._service = node.create_service(SetBool, "~/imitate", self._on_imitate)
        self.facts: dict[str, str] = {}

    def configure(self, settings: Settings, pipeline: Pipeline) -> None:
        """Read the hand's file, and the map of pairs.

        Raises HandError, ModelError where one cannot be used, ParameterError without a hand pose model.
        """
        self._settings, self._imitator, self.facts = settings, None, {}
        if not settings.robot_hand:
            return
        if pipeline.hand_pose is None:
            raise ParameterError(
                f"parameter robot_hand is {settings.robot_hand!r}, but hand_pose_model is "
                f"{settings.hand_pose_model!r}: nothing tells the operator's joints; set it to auto, or a model"
            )
        hand = load_hand(settings.robot_hand, settings.robot_side)
        pair_map = load_map(settings.imitation_map) if settings.imitation_map else None
        if pair_map is not None:
            pair_map.check(pipeline.hand_pose.manifest, hand)
        self._imitator = Imitator(
            hand,
            gate=GateSettings(
                max_age_s=settings.imitation_max_age_s,
                max_spread_rad=settings.imitation_max_spread_rad,
                sure_frames=settings.imitation_sure_frames,
            ),
            safety=SafetySettings(speed_share=settings.imitation_speed_share),
            pair_map=pair_map,
            starts_at_rest=settings.imitation_starts_at_rest,
        )
        self.facts = {"robot hand": f"{hand.title}, {hand.side}", "imitation": State.DISABLED.value}

    def absent(self, pipeline: Pipeline) -> set[str]:
        """Topics that nothing is made for."""
        absent = set() if pipeline.hand_pose else set(HAND_TOPICS)
        if self._imitator is None:
            absent |= set(ROBOT_TOPICS)
        elif not self._settings.imitation_trajectory:
            absent.add("joint_trajectory")
        return absent

    def activate(self) -> None:
        """Listen to the robot; nothing moves it before it is enabled."""
        if self._imitator is None:
            return
        self._robot.clear()
        self._said, self._followed, self._header = None, time.monotonic(), Header()
        self._subscription = self._node.create_subscription(
            JointState,
            ROBOT_TOPIC,
            self._on_robot,
            QoSProfile(
                depth=5,
                history=HistoryPolicy.KEEP_LAST,
                reliability=ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.VOLATILE,
            ),
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        # A camera that stops must be told of when simulated time stands still, too.
        self._silence = self._node.create_timer(
            self._settings.imitation_max_age_s, self._on_silence, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._enable(self._settings.imitate_at_start)

    def deactivate(self) -> None:
        """Disable it, and let go of the robot's topic."""
        self._enable(False)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._node.destroy_timer(self._silence)
            self._subscription = self._silence = None

    def _enable(self, enabled: bool) -> None:
        if self._imitator is not None:
            with self._lock:
                self._imitator.enabled = enabled

    def _on_imitate(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        imitator = self._imitator
        if imitator is None:
            response.success = not request.data
            response.message = "there is no robot hand; set the parameter robot_hand and configure the node"
        elif request.data and self._subscription is None:
            response.success = False
            response.message = "the node is not active, so nothing is enabled; activate it first"
        else:
            self._enable(bool(request.data))
            response.success = True
            response.message = f"imitation is {'enabled' if request.data else 'disabled'}: {self.facts['robot hand']}"
            self._node.get_logger().info(response.message)
        return response

    def _on_robot(self, message: JointState) -> None:
        # Arm and hand may publish on one topic: the latest message of each is kept, by its first joint.
        key = message.name[0] if message.name else ""
        if key in self._robot or len(self._robot) < _SOURCES:
            self._robot[key] = (time.monotonic(), message)

    def _robot_now(self, imitator: Imitator) -> np.ndarray | None:
        """(A,) radians, NaN for joints that no recent message tells; None where none tells any."""
        since = time.monotonic() - _ROBOT_AGE_S
        names: list[str] = []
        angles: list[float] = []
        for arrived, message in [*self._robot.values()]:
            if arrived >= since:
                count = min(len(message.name), len(message.position))
                names += message.name[:count]
                angles += message.position[:count]
        robot = imitator.hand.in_order(names, angles)
        return None if np.isnan(robot).all() else robot

    # --- worker's thread --------------------------------------------------------------------------------------

    def follow(self, header: Header, pipeline: Pipeline, described: Described) -> None:
        """One frame: the operator's joints, and the robot's targets. Raises FrameDropped where the model failed."""
        try:
            observation = self._observe(header, pipeline, described)
        except FrameDropped:
            self._step(header, None)
            raise
        self._step(header, observation)
        if observation is not None and observation.known and observation.joints is not None:
            self._outputs.send("hand_joints", messages.joint_state(header, JOINT_NAMES, observation.joints))

    def _observe(self, header: Header, pipeline: Pipeline, described: Described) -> Observation | None:
        """The main grasp's hand, where somebody wants it."""
        wanted = self._imitator is not None and self._imitator.enabled
        if not (wanted or self._outputs.somebody_listens("hand_joints")):
            return None
        started = time.perf_counter()
        hands = pipeline.estimate_hands(described, most=1)
        self._statistics.latency("hand pose", time.perf_counter() - started)
        if hands is None or not len(hands.joints):
            return None
        return observation_of(hands, 0, _seconds(header), described.descriptors[0])

    def _step(self, header: Header, observation: Observation | None) -> None:
        imitator = self._imitator
        if imitator is None:
            return
        started = time.perf_counter()
        now_s = self._node.get_clock().now().nanoseconds * 1e-9
        robot = self._robot_now(imitator) if imitator.enabled else None
        with self._lock:  # once ~/imitate has answered that it is disabled, nothing more goes out
            made = imitator.step(observation, now_s, robot)
            self._followed, self._followed_s, self._header = time.monotonic(), now_s, header
            if made.angles is not None:
                self._send_target(header, imitator.hand.names, made.angles, now_s)
        if made.angles is not None:
            self._statistics.latency("joint targets", time.perf_counter() - started)
        self._say(header, made)

    def _send_target(self, header: Header, names: Sequence[str], angles: np.ndarray, now_s: float) -> None:
        self._outputs.send("joint_targets", messages.joint_state(header, names, angles))
        self._statistics.event(TARGET)
        stamp_s = _seconds(header)
        since_stamp = self._node.get_clock().now().nanoseconds * 1e-9 - stamp_s
        if 0 <= since_stamp < 10:
            self._statistics.latency("stamp to joint targets", since_stamp)
        if self._settings.imitation_trajectory:
            # Controllers drop points of the past: this one is reached a frame's time from now on, not from its stamp.
            step_s = _LONGEST_S if self._last_target_s is None else stamp_s - self._last_target_s
            if not 0 < step_s <= _LONGEST_S:
                step_s = _LONGEST_S
            reached_s = max(now_s - stamp_s, 0.0) + max(step_s, _SHORTEST_S)
            self._outputs.send("joint_trajectory", messages.joint_trajectory(header, names, angles, reached_s))
        self._last_target_s = stamp_s

    def _say(self, header: Header, made: Imitation) -> None:
        self.facts = {**self.facts, "imitation": _line(made)}  # diagnostics read it on another thread
        if made.state is not State.FOLLOWING:
            self._last_target_s = None
        if made.state is not self._said and self._imitator is not None and self._imitator.enabled:
            self._health.note(f"imitation {made.state.value}", f"imitation: {_line(made)}")
        self._said = made.state
        name = f"{self._node.get_fully_qualified_name()[1:]}: imitation"
        self._outputs.send("imitation_state", messages.imitation_state(header, name, made.state.value, made.reason))

    # --- executor's thread ------------------------------------------------------------------------------------

    def _on_silence(self) -> None:
        """Without frames nothing else would say that it is stale."""
        silent_s, clock = time.monotonic() - self._followed, self._node.get_clock()
        now_s = clock.now().nanoseconds * 1e-9
        if clock.ros_time_is_active and silent_s < _STANDSTILL_S:  # a recording may be played slowly
            silent_s = now_s - self._followed_s
        imitator = self._imitator
        if imitator is None or silent_s <= self._settings.imitation_max_age_s:
            return
        with self._lock:
            made = imitator.step(None, now_s)
        if made.state is not State.DISABLED:
            made = Imitation(State.STALE, f"no frame for {silent_s:.1f} s")
        self._say(self._header, made)


def _seconds(header: Header) -> float:
    return float(header.stamp.sec + 1e-9 * header.stamp.nanosec)


def _line(made: Imitation) -> str:
    return f"{made.state.value}: {made.reason}" if made.reason else made.state.value
