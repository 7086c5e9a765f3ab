"""The node's publishers: what a frame yields -> messages, each with the header of its colour image."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory

from tiae_ros.node import messages
from tiae_ros.node.health import Health
from tiae_ros.node.inputs import OVERRIDABLE
from tiae_ros.perception import Result

TOPICS: dict[str, type] = {
    "descriptor": Image,
    "grasps": PointCloud2,
    "shift": Vector3Stamped,
    "position": PointStamped,
    "restored/depth": Image,
    "restored/camera_info": CameraInfo,
    "restored/hand_mask": Image,
    "restored/object_mask": Image,
    "grasp_label": String,
    "segmentation": Image,
    "debug_image": Image,
    "hand_joints": JointState,
    "joint_targets": JointState,
    "joint_trajectory": JointTrajectory,
    "imitation_state": DiagnosticArray,
}


def _qos() -> QoSProfile:
    """A new one each time: rclpy writes the overrides of a topic into the profile that it is given."""
    return QoSProfile(
        depth=5,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )


class Outputs:
    """Publishers between `open` and `close`; sending to one that is not there does nothing."""

    def __init__(self, node: LifecycleNode, health: Health) -> None:
        self._node = node
        self._health = health
        self._publishers: dict[str, Any] = {}

    def open(self, absent: Collection[str]) -> None:
        """Make all publishers but those whose content no model makes."""
        # A callback group never forgets an entity that is gone, so each cycle has its own.
        group = MutuallyExclusiveCallbackGroup()
        for name, kind in TOPICS.items():
            if name not in absent:
                self._publishers[name] = self._node.create_lifecycle_publisher(
                    kind,
                    f"~/{name}",
                    _qos(),
                    event_callbacks=PublisherEventCallbacks(
                        incompatible_qos=functools.partial(self._on_incompatible, f"~/{name}")
                    ),
                    qos_overriding_options=QoSOverridingOptions(OVERRIDABLE),
                    callback_group=group,
                )

    def close(self) -> None:
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def somebody_listens(self, name: str) -> bool:
        """What nobody looks at is not made."""
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def send(self, name: str, message: Any) -> None:
        publisher = self._publishers.get(name)
        if publisher is not None:
            publisher.publish(message)

    def send_descriptors(self, header: Header, descriptors: np.ndarray[Any, Any]) -> None:
        """A row per grasp (N, K); nothing without a grasp."""
        if len(descriptors):
            self.send("descriptor", messages.image(header, descriptors.astype("<f4", copy=False)))

    def send_result(self, header: Header, result: Result) -> None:
        """What the grasp model yields, but the descriptor."""
        send = self.send
        poses = result.pattern_poses
        rows = result.positions, result.descriptors, result.shifts, result.confidences
        send("grasps", messages.grasps(header, *rows, poses))
        if self.somebody_listens("segmentation"):
            send("segmentation", messages.image(header, result.labels))
        if result.restored_masks is None:
            return
        send("shift", messages.shift(header, result.shifts[0], 0.0 if poses is None else float(poses.angles[0])))
        if np.isfinite(result.positions[0, 0]):
            send("position", messages.position(header, result.positions[0]))
        size = result.restored_masks.shape[1]
        send("restored/hand_mask", messages.mask(header, result.restored_masks[0].clip(0, 1)))
        send("restored/object_mask", messages.mask(header, result.restored_masks[1].clip(0, 1)))
        if result.restored_k is not None:
            send("restored/camera_info", messages.camera_info(header, result.restored_k, size, size))
        if result.names is not None:
            send("grasp_label", messages.text(result.names[0]))

    def _on_incompatible(self, topic: str, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._health.fault(
            f"QoS of {topic}",
            f"a subscriber of {self._node.resolve_topic_name(topic)} requests an incompatible QoS policy: {policy}; it "
            "receives nothing",
        )
