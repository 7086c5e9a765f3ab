"""A recorded bag -> ROS topics. The stored bytes are published as they are, at the times they were recorded."""

from __future__ import annotations

import importlib
import importlib.util
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from tiae_ros.errors import BagError, ParameterError
from tiae_ros.node import session
from tiae_ros.node.signals import Stop
from tiae_ros.streams.bags import Bag, Topic
from tiae_ros.streams.stored import CDR

_SILENT_S = 1.0  # waiting longer than that is said
_SETTLE_S = 0.3  # the other side of a match learns of it a little later
_REPORT_EVERY_S = 1.0
_POLL_S = 0.05
_DEPTHS = (10, 1000)  # of a publisher's history: at least, at most
_GAPS_TOLD = 3
_CLOCK = "/clock"
_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")
_POLICY = re.compile(r"\b(reliability|durability|history|depth):\s*(\w+)")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Playback:
    """How a bag is played."""

    rate: float = 1.0
    loop: bool = False
    topics: Collection[str] = ()
    """Only these; empty: all that can be played."""
    topic_map: Mapping[str, str] | None = None
    wait_s: float = 10.0
    """Longest wait for subscribers before the first message."""
    subscribers: int = 1
    """How many of them each topic waits for."""
    reliability: str = "recorded"
    """Or "reliable", "best-effort"."""
    durability: str = "recorded"
    """Or "volatile", "transient-local"."""
    max_gap_s: float = 60.0
    """A longer pause of the recording is left out."""
    clock: bool = False
    """Publish the recorded time on /clock, instead of a /clock that was recorded."""
    strict: bool = False
    """A topic that cannot be played is an error; else it is left out."""


class Player:
    """Plays one bag; `say` is told of progress, `warn` of what is not played as it was recorded."""

    def __init__(self, playback: Playback, say: Say, warn: Say, stop: Stop) -> None:
        self._playback = playback
        self._say = say
        self._warn = warn
        self._stop = stop
        self._gaps = 0
        self._reported: tuple[float, Counter[str]] = (0.0, Counter())  # when last, and what had been sent by then

    def play(self, bag: Bag) -> Counter[str]:
        """Publish all messages (again and again when looping); returns the number per topic.

        Raises:
            BagError: no topic can be played, or one that was asked for, or the bag breaks off.
            ParameterError: a topic's new name is not valid, or two topics would get one.
        """
        # A context of its own: shutting down the default one gives signals back to the system's defaults.
        context = Context()
        session.begin(context=context)
        node = Node("tiae_play", context=context, enable_rosout=False, start_parameter_services=False)
        try:
            publishers = self._make_publishers(node, bag)
            clock = self._clock_publisher(node)
            self._wait_for_subscribers(publishers)
            sent: Counter[str] = Counter()
            first = True
            started = time.monotonic()
            self._reported = started, Counter()
            while not self._stop.asked:
                self._play_once(bag, publishers, sent, clock, started)
                if not sent and not self._stop.asked:
                    raise BagError(f"bag {bag.path} has none of the messages that it lists ({bag.contents()})")
                for line in bag.skipped.lines() if first else ():
                    self._warn(line)
                first = False
                if not self._playback.loop:
                    break
            if self._gaps > _GAPS_TOLD:
                self._warn(f"{self._gaps} gaps over {self._playback.max_gap_s:g} s (--max-gap) were skipped in all")
            self._let_readers_finish(publishers)
            return sent
        finally:
            node.destroy_node()
            del node
            session.end(context)

    def _make_publishers(self, node: Node, bag: Bag) -> dict[str, Any]:
        playback = self._playback
        names = dict(playback.topic_map or {})
        for name in (*names, *playback.topics):
            bag.require(name)
        asked = {*names, *playback.topics}
        publishers: dict[str, Any] = {}
        taken = {_CLOCK: "--clock"} if playback.clock else {}
        for topic in bag.topics.values():
            if not topic.count or (playback.topics and topic.name not in playback.topics):
                continue
            name = names.get(topic.name, topic.name)
            if playback.clock and name == _CLOCK and topic.name not in names:
                self._warn(f"the recorded {_CLOCK} is not played: --clock publishes the time of the recording there")
                continue
            try:
                resolved, kind = _resolved(node, name), message_class(topic)
            except (BagError, ParameterError) as error:
                if playback.strict or topic.name in asked:
                    raise
                self._warn(f"skipped topic {topic}: {error}")
                continue
            if resolved in taken:
                raise ParameterError(
                    f"{taken[resolved]} and {topic.name} would both be published on {resolved}; give one of them "
                    "another name with --topic-map, or leave one out with --topics"
                )
            taken[resolved] = topic.name
            try:
                publishers[topic.name] = node.create_publisher(kind, name, self._qos(topic))
            except Exception as error:  # the middleware's own, such as of a name that is too long
                reason = " ".join(str(error).split())
                raise ParameterError(f"topic {topic.name} cannot be published on {resolved!r}: {reason}") from None
        if not publishers:
            raise BagError(f"bag {bag.path} has no topic that can be played; it contains {bag.contents()}")
        return publishers

    def _qos(self, topic: Topic) -> QoSProfile:
        """What was offered while it was recorded, unless it is asked for otherwise."""
        qos = recorded_qos(topic.qos)
        if self._playback.reliability != "recorded":
            reliable = self._playback.reliability == "reliable"
            qos.reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        if self._playback.durability != "recorded":
            latched = self._playback.durability == "transient-local"
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        return qos

    def _clock_publisher(self, node: Node) -> Any:
        if not self._playback.clock:
            return None
        from rosgraph_msgs.msg import Clock

        return node.create_publisher(Clock, _CLOCK, 10)

    def _wait_for_subscribers(self, publishers: Mapping[str, Any]) -> None:
        """Until every topic has enough of them, or the time is over."""
        wanted = self._playback.subscribers
        began = time.monotonic()
        deadline, said = began + self._playback.wait_s, False
        while not self._stop.asked:
            alone = [p.topic_name for p in publishers.values() if p.get_subscription_count() < wanted]
            if not alone:
                self._stop.wait(_SETTLE_S)
                return
            if time.monotonic() >= deadline:
                few = "no subscriber" if wanted == 1 else f"not {wanted} subscribers"
                self._say(f"{few} yet on {', '.join(alone)}; playing all the same")
                return
            if not said and time.monotonic() - began >= _SILENT_S:
                said = True
                self._say(f"waiting up to {self._playback.wait_s:g} s for subscribers on {', '.join(alone)}")
            self._stop.wait(0.02)

    def _play_once(
        self, bag: Bag, publishers: Mapping[str, Any], sent: Counter[str], clock: Any, first_started: float
    ) -> None:
        started = time.monotonic()
        newest_ns: int | None = None
        played_ns = 0  # of the recording, without the gaps
        for message in bag.raw(publishers):
            step_ns = 0 if newest_ns is None else max(0, message.time_ns - newest_ns)
            if step_ns * 1e-9 > self._playback.max_gap_s:
                self._tell_gap(step_ns * 1e-9, message.topic)
                step_ns = 0
            played_ns += step_ns
            if self._stop.wait(started + played_ns * 1e-9 / self._playback.rate - time.monotonic()):
                return
            if clock is not None and (newest_ns is None or message.time_ns >= newest_ns):
                clock.publish(_clock_message(message.time_ns))
            newest_ns = message.time_ns if newest_ns is None else max(newest_ns, message.time_ns)
            publishers[message.topic].publish(message.data)
            sent[message.topic] += 1
            now = time.monotonic()
            reported, reported_sent = self._reported
            if now - reported >= _REPORT_EVERY_S:
                self._report(now - first_started, now - reported, sent - reported_sent)
                self._reported = now, Counter(sent)

    def _tell_gap(self, seconds: float, topic: str) -> None:
        self._gaps += 1
        if self._gaps <= _GAPS_TOLD:
            self._warn(
                f"skipped a gap of {seconds:.1f} s in the recording, before a message of {topic}; longer ones than "
                f"{self._playback.max_gap_s:g} s (--max-gap) are skipped"
            )

    def _report(self, played_s: float, span_s: float, counts: Counter[str]) -> None:
        rates = "  ".join(f"{topic} {count / span_s:.1f} Hz" for topic, count in sorted(counts.items()))
        self._say(f"{played_s:6.1f} s  {rates}")

    def _let_readers_finish(self, publishers: Mapping[str, Any]) -> None:
        """What was sent reliably is delivered before the publishers go away."""
        deadline = time.monotonic() + 1.0
        poll = rclpy.duration.Duration(seconds=_POLL_S)
        for publisher in publishers.values():
            while not self._stop.asked and time.monotonic() < deadline:
                if publisher.wait_for_all_acked(poll):
                    break
        self._stop.wait(0.1)


def recorded_qos(profiles: str) -> QoSProfile:
    """A profile that serves every subscriber that the recorded publishers served; the usual one when none is known.

    profiles: what rosbag2 stores of them (YAML); policies are names, or rmw's numbers in older recordings.
    """
    found: dict[str, set[str]] = {"reliability": set(), "durability": set(), "history": set(), "depth": set()}
    for policy, value in _POLICY.findall(profiles):
        found[policy].add(value)
    best_effort = found["reliability"] and found["reliability"] <= {"2", "best_effort"}
    latched = found["durability"] & {"1", "transient_local"}
    least, most = _DEPTHS
    depth = max([least, *(int(value) for value in found["depth"] if value.isdecimal() and len(value) < 10)])
    return QoSProfile(
        depth=most if found["history"] & {"2", "keep_all"} else min(depth, most),
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def message_class(topic: Topic) -> type:
    """The Python class of a topic's type.

    Raises:
        BagError: it is no message, or its package is not installed.
    """
    if topic.serialization != CDR:
        raise BagError(f"topic {topic.name} is stored as {topic.serialization!r}, only {CDR} can be played")
    found = _TYPE.fullmatch(topic.type)
    if found is None:
        raise BagError(
            f"topic {topic.name} is of type {topic.type}, which is no message (a service's or action's part, or "
            "several); choose topics with --topics"
        )
    package, name = found.groups()
    # The name comes out of a file: only a package of messages is imported for it.
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    try:
        if not any((Path(place) / "msg" / "__init__.py").is_file() for place in places or ()):
            raise ImportError
        kind: type = getattr(importlib.import_module(f"{package}.msg"), name)
        return kind
    except (ImportError, AttributeError):
        raise BagError(
            f"topic {topic.name} is of type {topic.type}, which is not installed; choose topics with --topics"
        ) from None


def _resolved(node: Node, name: str) -> str:
    try:
        resolved: str = node.resolve_topic_name(name)
        return resolved
    except Exception as error:  # rclpy's and the middleware's, of several types
        reason = " ".join(str(error).partition(", at ")[0].split())
        raise ParameterError(f"topic name {name!r} is not valid: {reason[:200]}") from None


def _clock_message(time_ns: int) -> Any:
    from builtin_interfaces.msg import Time
    from rosgraph_msgs.msg import Clock

    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return Clock(clock=Time(sec=min(seconds, 2**31 - 1), nanosec=nanoseconds))
