"""A recorded bag -> ROS topics. The stored bytes are published as they are, at the times they were recorded."""

from __future__ import annotations

import importlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from tiae_ros.errors import BagError, ParameterError
from tiae_ros.node import session
from tiae_ros.streams.bags import Bag, Topic

_SETTLE_S = 0.3  # the other side of a match learns of it a little later
_REPORT_EVERY_S = 1.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Playback:
    """How a bag is played."""

    rate: float = 1.0
    loop: bool = False
    topic_map: Mapping[str, str] | None = None
    wait_s: float = 10.0
    """Longest wait for subscribers before the first message."""
    subscribers: int = 1
    """How many of them each topic waits for."""
    reliable: bool = True
    clock: bool = False
    """Publish the recorded time on /clock."""


class Player:
    """Plays one bag; `stop` may be called from a signal handler."""

    def __init__(self, playback: Playback, say: Say) -> None:
        self._playback = playback
        self._say = say
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the message at hand."""
        self._stopped.set()

    def play(self, bag: Bag) -> Counter[str]:
        """Publish all messages (again and again when looping); returns the number per topic.

        Raises:
            BagError: a message type is not installed, or the bag breaks off.
        """
        session.begin()
        node = Node("tiae_play", enable_rosout=False, start_parameter_services=False)
        try:
            publishers = self._make_publishers(node, bag)
            clock = self._clock_publisher(node)
            self._wait_for_subscribers(publishers)
            sent: Counter[str] = Counter()
            while not self._stopped.is_set():
                self._play_once(bag, publishers, sent, clock)
                if not self._playback.loop:
                    break
            self._let_readers_finish(publishers)
            return sent
        finally:
            node.destroy_node()
            session.end()

    def _make_publishers(self, node: Node, bag: Bag) -> dict[str, Any]:
        names = dict(self._playback.topic_map or {})
        for name in names:
            bag.require(name)
        reliability = ReliabilityPolicy.RELIABLE if self._playback.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=10, reliability=reliability)
        publishers = {}
        for topic in bag.topics.values():
            name = names.get(topic.name, topic.name)
            try:
                if topic.count:
                    publishers[topic.name] = node.create_publisher(message_class(topic), name, qos)
            except InvalidTopicNameException as error:
                raise ParameterError(f"topic name {name!r} is not valid: {' '.join(str(error).split())}") from None
        return publishers

    def _clock_publisher(self, node: Node) -> Any:
        if not self._playback.clock:
            return None
        from rosgraph_msgs.msg import Clock

        return node.create_publisher(Clock, "/clock", 10)

    def _wait_for_subscribers(self, publishers: Mapping[str, Any]) -> None:
        """Until every topic has enough of them, or the time is over."""
        wanted = self._playback.subscribers
        deadline = time.monotonic() + self._playback.wait_s
        while not self._stopped.is_set():
            alone = [p.topic_name for p in publishers.values() if p.get_subscription_count() < wanted]
            if not alone:
                self._stopped.wait(_SETTLE_S)
                return
            if time.monotonic() >= deadline:
                few = "no subscriber" if wanted == 1 else f"not {wanted} subscribers"
                self._say(f"{few} yet on {', '.join(alone)}; playing all the same")
                return
            self._stopped.wait(0.02)

    def _play_once(self, bag: Bag, publishers: Mapping[str, Any], sent: Counter[str], clock: Any) -> None:
        started = time.monotonic()
        first_ns: int | None = None
        reported, reported_sent = started, Counter(sent)
        for message in bag.raw(publishers):
            if first_ns is None:
                first_ns = message.time_ns
            due = started + (message.time_ns - first_ns) * 1e-9 / self._playback.rate
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            if clock is not None:
                clock.publish(_clock_message(message.time_ns))
            publishers[message.topic].publish(message.data)
            sent[message.topic] += 1
            now = time.monotonic()
            if now - reported >= _REPORT_EVERY_S:
                self._report(now - started, now - reported, sent - reported_sent)
                reported, reported_sent = now, Counter(sent)

    def _report(self, played_s: float, span_s: float, counts: Counter[str]) -> None:
        rates = "  ".join(f"{topic} {count / span_s:.1f} Hz" for topic, count in sorted(counts.items()))
        self._say(f"{played_s:6.1f} s  {rates}")

    def _let_readers_finish(self, publishers: Mapping[str, Any]) -> None:
        """What was sent reliably is delivered before the publishers go away."""
        if self._playback.reliable and not self._stopped.is_set():
            for publisher in publishers.values():
                publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=1))
        self._stopped.wait(0.1)


def message_class(topic: Topic) -> type:
    """The Python class of a topic's type.

    Raises:
        BagError: its package is not installed.
    """
    package, _, rest = topic.type.partition("/")
    try:
        kind: type = getattr(importlib.import_module(f"{package}.msg"), rest.rpartition("/")[2])
        return kind
    except (ImportError, AttributeError):
        raise BagError(
            f"topic {topic.name} is of type {topic.type}, which is not installed; choose topics with --topics"
        ) from None


def play(path: str, playback: Playback, topics: list[str] | None, say: Say) -> Counter[str]:
    """Play a bag until its end, or until SIGINT or SIGTERM."""
    player = Player(playback, say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: player.stop())
    with Bag(path) as bag:
        if topics:
            bag.topics = {name: bag.require(name) for name in topics}
        return player.play(bag)


def _clock_message(time_ns: int) -> Any:
    from builtin_interfaces.msg import Time
    from rosgraph_msgs.msg import Clock

    return Clock(clock=Time(sec=time_ns // 1_000_000_000, nanosec=time_ns % 1_000_000_000))
