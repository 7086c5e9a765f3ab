"""The topics of the one camera that publishes on a running ROS graph, however late it starts.

    finder = CameraFinder(node)
    while (found := finder.look()) is None:      # from a timer, or between two spins
        print(finder.waiting_for)                # "waiting for a camera: no colour image; …"
    print(found.told)

A graph knows names and types. Where the names say nothing, a message of each is looked at for its encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from tiae_ros.errors import TopicError
from tiae_ros.streams.camera_topics import (
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    IMAGE_TYPES,
    CameraTopics,
    SeenTopic,
    find_camera_topics,
    is_telling,
)
from tiae_ros.streams.pictures import encoding_of

LOOK_EVERY_S = 0.5
_STEADY = 3  # times the same answer: a driver's topics come one after the other
_MOST_ASKED = 8
_CLASSES = {IMAGE_TYPE: Image, COMPRESSED_IMAGE_TYPE: CompressedImage}


def topics_of_graph(node: Node) -> list[SeenTopic]:
    """Images and camera infos that somebody else publishes now, as far as this node knows."""
    own = {publisher.topic_name for publisher in node.publishers}
    return [
        SeenTopic(name, kind)
        for name, kinds in node.get_topic_names_and_types()
        for kind in kinds[:1]
        if kind in (*IMAGE_TYPES, CAMERA_INFO_TYPE) and name not in own and node.count_publishers(name)
    ]


class CameraFinder:
    """Looks until there is one camera. The node has to be spun between two looks.

    Attributes:
        waiting_for: one line about what is not there yet.
    """

    def __init__(self, node: Node, given: Mapping[str, str] | None = None) -> None:
        """given: the node's own name of an input (color/image, …) -> the topic that somebody named for it."""
        self.waiting_for = "waiting for a camera: nothing publishes images yet"
        self._node = node
        self._given = given or {}
        self._known: dict[str, SeenTopic] = {}  # what was asked for its encoding
        self._asking: dict[str, Any] = {}  # subscriptions, by topic
        self._last: CameraTopics | None = None
        self._times = 0

    def look(self) -> CameraTopics | None:
        """The camera's topics, once they have stayed the same for a second; None until then."""
        for name in [name for name in self._asking if name in self._known]:
            self._node.destroy_subscription(self._asking.pop(name))
        seen = [self._known.get(topic.name, topic) for topic in topics_of_graph(self._node)]
        try:
            found = find_camera_topics(
                seen,
                color=self._given.get("color/image"),
                depth=self._given.get("depth/image"),
                camera_info=self._given.get("color/camera_info"),
                one_transport=True,
                options="color:= and depth:=",
            )
        except TopicError as error:
            self._last = None
            self.waiting_for = f"waiting for a camera: {error if seen else 'nothing publishes images yet'}"
            self._ask([topic for topic in seen if topic.type in _CLASSES and topic.encoding is None])
            return None
        same = self._last is not None and self._last.inputs == found.inputs
        self._last, self._times = found, self._times + 1 if same else 1
        self.waiting_for = "found a camera, and waiting whether more of it starts"
        if self._times < _STEADY:
            return None
        self.close()
        return found

    def close(self) -> None:
        """Let go of the subscriptions."""
        for subscription in self._asking.values():
            self._node.destroy_subscription(subscription)
        self._asking.clear()

    def _ask(self, topics: list[SeenTopic]) -> None:
        for topic in topics:
            if topic.name in self._asking or len(self._asking) >= _MOST_ASKED or is_telling(topic):
                continue

            def answer(message: Any, topic: SeenTopic = topic) -> None:
                known = SeenTopic(topic.name, topic.type, encoding_of(message), message.header.frame_id)
                self._known[topic.name] = known

            kind = _CLASSES[topic.type]
            self._asking[topic.name] = self._node.create_subscription(kind, topic.name, answer, qos_profile_sensor_data)


class Search:
    """A `CameraFinder` on a timer of its node, which calls `found` once.

    Attributes:
        waiting_for: as of `CameraFinder`; "" once the camera was found.
    """

    def __init__(self, node: Node, given: Mapping[str, str], found: Callable[[CameraTopics], None]) -> None:
        self._node, self._found = node, found
        self._finder = CameraFinder(node, given)
        self.waiting_for = self._finder.waiting_for
        # Simulated time may stand still until the camera is there.
        self._timer = node.create_timer(LOOK_EVERY_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def stop(self) -> None:
        """For good."""
        self._finder.close()
        self._timer.cancel()
        self._node.destroy_timer(self._timer)

    def _look(self) -> None:
        found = self._finder.look()
        self.waiting_for = "" if found else self._finder.waiting_for
        if found:
            self._timer.cancel()
            self._found(found)
