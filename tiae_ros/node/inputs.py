"""The node's subscriptions: messages of several topics -> frames of one moment."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QosCallbackResult, QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from tiae_ros.node import diagnostics
from tiae_ros.node.frames import Frame
from tiae_ros.node.health import Health
from tiae_ros.node.live_topics import Search
from tiae_ros.node.statistics import Statistics
from tiae_ros.parameters import Settings
from tiae_ros.streams.camera import is_rectified
from tiae_ros.streams.camera_topics import PLUGINS, CameraTopics
from tiae_ros.streams.pairing import Missed, Pairer

INPUTS = ("color/image", "depth/image", "color/camera_info")
OVERRIDABLE = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY)


def _qos() -> QoSProfile:
    """A new one each time: rclpy writes the overrides of a topic into the profile that it is given."""
    return QoSProfile(
        depth=5,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def _serve_latched(qos: QoSProfile) -> QosCallbackResult:
    """What was published before somebody subscribed is handed to reliable subscribers only."""
    if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        qos.reliability = ReliabilityPolicy.RELIABLE
    return QosCallbackResult(successful=True)


@dataclass(frozen=True)
class Job:
    """A frame on its way to the worker."""

    header: Header
    frame: Frame
    arrived: float  # time.monotonic() of its last message


class Inputs:
    """Subscribed between `open` and `close`; `deliver` is called with every frame, on the executor's thread.

    Attributes:
        topics: input's name -> the topic it comes from.
        unreachable: input's name -> why its publisher is not received.
    """

    def __init__(
        self, node: LifecycleNode, statistics: Statistics, health: Health, deliver: Callable[[Job], bool]
    ) -> None:
        self._node = node
        self._statistics = statistics
        self._health = health
        self._deliver = deliver
        self._subscriptions: list[Any] = []
        self._pairer: Pairer[Any] = Pairer(("color", "depth"))
        self._camera_info: CameraInfo | None = None
        self._newest_done_ns: int | None = None
        self._search: Search | None = None
        self.enabled = True
        self.topics: dict[str, str] = {}
        self.unreachable: dict[str, str] = {}

    def open(self, settings: Settings) -> None:
        """Subscribe to what the settings ask for, at once or when the camera was found."""
        self.unreachable.clear()
        self._newest_done_ns = self._camera_info = None
        if not settings.find_camera:
            self._subscribe(settings, {})
            return

        def found(camera: CameraTopics) -> None:
            self._health.note("camera", f"found a camera: {camera.told}")
            self._subscribe(dataclasses.replace(settings, image_transport=camera.transport), camera.inputs)

        self._search = Search(self._node, self._remapped(), found)

    @property
    def waiting_for(self) -> str:
        """What is missing before there is anything to listen to; "" when nothing is."""
        return self._search.waiting_for if self._search else ""

    def _remapped(self) -> dict[str, str]:
        """Inputs that somebody has given a topic."""
        space = self._node.get_namespace().rstrip("/")
        resolved = {own: self._node.resolve_topic_name(own) for own in INPUTS}
        return {own: topic for own, topic in resolved.items() if topic != f"{space}/{own}"}

    def _subscribe(self, settings: Settings, found: Mapping[str, str]) -> None:
        """found: an input's own name -> the camera's topic; of the others, remapping says which it is."""
        compressed = settings.image_transport == "compressed"
        kind = CompressedImage if compressed else Image
        color, depth, info = (f"{own}/{PLUGINS[own]}" if compressed and own in PLUGINS else own for own in INPUTS)
        wanted: list[tuple[str, str, str, type, Callable[..., None]]] = [
            ("colour", "color", found.get(color, color), kind, self._on_image),
            ("depth", "depth", found.get(depth, depth), kind, self._on_image),
            (diagnostics.CAMERA_INFO, "", found.get(info, info), CameraInfo, self._on_camera_info),
        ]
        if settings.mask_source == "topics":
            wanted += [
                ("hand mask", "hand_mask", "hand_mask", Image, self._on_image),
                ("object mask", "object_mask", "object_mask", Image, self._on_image),
            ]
        self._pairer = Pairer(
            [slot for _, slot, *_ in wanted if slot], slop_s=settings.slop_s, memory_s=settings.pairing_memory_s
        )
        # A callback group never forgets an entity that is gone, so each cycle has its own.
        group = MutuallyExclusiveCallbackGroup()
        for name, slot, topic, message_type, callback in wanted:
            subscription = self._node.create_subscription(
                message_type,
                topic,
                functools.partial(callback, name, slot) if slot else callback,
                _qos(),
                event_callbacks=SubscriptionEventCallbacks(
                    incompatible_qos=functools.partial(self._on_incompatible, name, topic)
                ),
                qos_overriding_options=QoSOverridingOptions(OVERRIDABLE, callback=_serve_latched),
                callback_group=group,
            )
            self._subscriptions.append(subscription)
            self.topics[name] = subscription.topic_name

    def close(self) -> None:
        """Let go of the subscriptions and of what waits for its partner."""
        if self._search is not None:
            self._search.stop()
            self._search = None
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self.topics.clear()
        self._pairer.reset()

    def set_enabled(self, enabled: bool) -> None:
        """Not enabled, messages are counted and left."""
        self.enabled = enabled
        if not enabled:
            self._pairer.reset()
            # The pairer cannot see a clock that jumps back meanwhile (a bag that loops): the order starts afresh too.
            self._newest_done_ns = None

    def set_pairing(self, settings: Settings) -> None:
        self._pairer.slop_s, self._pairer.memory_s = settings.slop_s, settings.pairing_memory_s

    def missed(self) -> Missed | None:
        """As `Pairer.missed`."""
        return self._pairer.missed()

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._statistics.event(diagnostics.CAMERA_INFO)
        self._camera_info = message

    def _on_image(self, name: str, slot: str, message: Any) -> None:
        self._statistics.event(name)
        if not self.enabled:
            return
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        pushed = self._pairer.push(slot, stamp_ns, message, size=len(message.data))
        # Not before something came of it: of two streams one is noticed a message earlier than the other.
        if (pushed.pairs or pushed.dropped) and (still := self._pairer.standing_still()):
            self._health.warn(
                "stamps",
                f"stamps of {' and '.join(still)} never change: images are paired by the time at which they come; let "
                "the driver stamp its images",
            )
        for reason, count in pushed.dropped.items():
            self._statistics.drop(reason, count)
        if pushed.jumped_back:
            self._newest_done_ns = None
            self._statistics.clear_rates()
            self._health.note("jump", "stamps jumped back (bag loop or clock reset): starting afresh")
        for pair in pushed.pairs:
            if not pair.by_arrival:
                if self._newest_done_ns is not None and pair.stamp_ns <= self._newest_done_ns:
                    self._statistics.drop("out of order")
                    continue
                self._newest_done_ns = pair.stamp_ns
            self._statistics.event(diagnostics.PAIR)
            rectified = is_rectified(self.topics["colour"])
            frame = Frame(**pair.items, camera_info=self._camera_info, rectified=rectified)
            if self._deliver(Job(pair.items["color"].header, frame, time.monotonic())):
                self._statistics.drop(diagnostics.NEWER)

    def _on_incompatible(self, name: str, topic: str, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        message = (
            f"a publisher of {self._node.resolve_topic_name(topic)} offers an incompatible QoS policy: {policy}; "
            "nothing is received from it (see the qos_overrides parameters)"
        )
        self.unreachable[name] = message  # the event comes once, the silence lasts
        self._health.fault(f"QoS of {topic}", message)
