"""The page's side of ROS: it listens as bytes, and keeps the last seconds.

Which topics the node listens to, the node says itself on /diagnostics, so nothing has to be remapped here. Everything
is taken by best effort and of each topic only the newest: no publisher ever waits for the page.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from tiae_ros.errors import ParameterError
from tiae_ros.node.main import make_executor
from tiae_ros.node.outputs import TOPICS
from tiae_ros.view.recent import Recent

# The debug picture is drawn for whoever listens, and the page draws its own.
OUTPUTS: dict[str, type] = {"joint_targets": JointState, **TOPICS}
del OUTPUTS["debug_image"]
_DIAGNOSTICS = "/diagnostics"
_STATUS = re.compile(r"(.*): perception")
_INPUT = re.compile(r"(.*) rate")
_TOPIC = re.compile(r"[\d.]+ Hz \((/.*)\)")
_OTHER_NODES = 20  # of whose diagnostics one message may come before ours is looked at


def newest_only(depth: int = 1) -> QoSProfile:
    """Takes from every publisher and holds none up."""
    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def type_name(kind: type) -> str:
    """sensor_msgs.msg.Image -> sensor_msgs/msg/Image."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def read_inputs(values: Mapping[str, str]) -> dict[str, str]:
    """Input's name -> its topic, from the table of the node's diagnostics."""
    found = {}
    for key, value in values.items():
        name, topic = _INPUT.fullmatch(key), _TOPIC.fullmatch(value)
        if name and topic:
            found[name[1]] = topic[1]
    return found


def input_type(name: str, topic: str) -> type:
    """The message that comes on an input."""
    compressed = topic.endswith(("/compressed", "/compressedDepth"))
    kind: type = CameraInfo if name == "camera info" else CompressedImage if compressed else Image
    return kind


def check_node_name(wanted: str) -> None:
    """Raise ParameterError for what no node can be called; "" is any node."""
    try:
        if wanted:
            validate_full_topic_name("/" + wanted.strip("/"))
    except InvalidTopicNameException:
        raise ParameterError(
            f"--node {wanted!r} is no name of a node; accepted are letters, digits and _, with / between: /left/tiae"
        ) from None


class Listener:
    """A node of its own; `start` and `stop` its thread, on which everything of ROS happens.

    Attributes:
        recent: the last seconds of what it listens to.
        node_name: the perception node, e.g. /tiae; "" until its diagnostics have come.
        status, status_at: its last diagnostics, and when (time.monotonic()) they came.
        others: all perception nodes that there are.
        inputs: input's name -> its topic.
    """

    def __init__(self, context: Context, wanted: str) -> None:
        """wanted: the node to look at; "" the first whose diagnostics come."""
        self.recent = Recent()
        self.wanted = wanted and "/" + wanted.strip("/")
        self.node_name = ""
        self.others: set[str] = set()
        self.status: DiagnosticStatus | None = None
        self.status_at = 0.0
        self.inputs: dict[str, str] = {}
        self.node = Node("tiae_view", context=context, enable_rosout=False, start_parameter_services=False)
        self._executor = make_executor(context)
        self._executor.add_node(self.node)
        self._costly: dict[str, Any] = {}
        self._open = False
        self._asked_for = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="tiae_view_listener", daemon=True)
        self._kinds: dict[str, type] = {}
        self.node.create_subscription(
            DiagnosticArray, _DIAGNOSTICS, self._on_diagnostics, newest_only(_OTHER_NODES), raw=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for the thread; then the node is gone."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._executor.shutdown(timeout_sec=0.2)
        self.node.destroy_node()

    def listen(self, wanted: bool) -> None:
        """To what costs something: while a browser is there."""
        if wanted != self._asked_for:
            self._asked_for = wanted
            self.do(self._listen, wanted)

    def read(self, stored: Any) -> Any:
        """The fields of a stored message."""
        return deserialize_message(stored.data, self._kinds[stored.topic])

    def do(self, action: Callable[..., None], *arguments: Any) -> None:
        """On the listener's thread."""
        self._executor.create_task(action, *arguments)

    # --- on the listener's thread -----------------------------------------------------------------------------

    def _spin(self) -> None:
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _listen(self, wanted: bool) -> None:
        self._open = wanted
        if not wanted:
            for subscription in self._costly.values():
                self.node.destroy_subscription(subscription)
            self._costly.clear()
            self.recent.forget()
        self._subscribe()

    def _subscribe(self) -> None:
        if not (self._open and self.node_name):
            return
        topics = {topic: input_type(name, topic) for name, topic in self.inputs.items()}
        topics |= {f"{self.node_name}/{name}": kind for name, kind in OUTPUTS.items()}
        for topic in [topic for topic in self._costly if topic not in topics]:
            self.node.destroy_subscription(self._costly.pop(topic))
        for topic, kind in topics.items():
            if topic not in self._costly:
                self._kinds[topic] = kind
                self._costly[topic] = self.node.create_subscription(
                    kind, topic, self._keeper(topic, kind), newest_only(), raw=True
                )

    def _keeper(self, topic: str, kind: type) -> Callable[[bytes], None]:
        name = type_name(kind)

        def keep(data: bytes) -> None:
            self.recent.add(topic, name, data)

        return keep

    def _on_diagnostics(self, data: bytes) -> None:
        message = deserialize_message(data, DiagnosticArray)
        for status in message.status:
            found = _STATUS.fullmatch(status.name)
            if found is None:
                continue
            name = "/" + found[1]
            self.others.add(name)
            if not self.node_name and name == (self.wanted or name):
                self.node_name = name
            if name == self.node_name:
                self.status, self.status_at = status, time.monotonic()
                # A node that is not active names no topics; those of before stay listened to.
                self.inputs = read_inputs({value.key: value.value for value in status.values}) or self.inputs
                if self._open:
                    self.recent.add(_DIAGNOSTICS, type_name(DiagnosticArray), data)
                self._subscribe()
