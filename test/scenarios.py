"""What may happen before a running node, told once: for the tests on the wheels and for those under `launch`.

A scenario gets a client and the node's namespace; it publishes as a camera would and asserts on what arrives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_processes import Camera, Client, stamp_of
from sensor_msgs.msg import Image, PointCloud2
from synthetic_scenes import Scene, add_hand, make_scene


class Stage:
    """Camera and listener of one scenario."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self._grasps = f"{namespace}/tiae/grasps"
        self._descriptor = f"{namespace}/tiae/descriptor"
        client.listen(PointCloud2, self._grasps)
        client.listen(Image, self._descriptor)
        client.listen(DiagnosticArray, "/diagnostics")
        self.camera = Camera(client, f"{namespace}/")
        self.camera.wait_for_node(40)
        client.wait_for_publishers()
        self.camera.stream_until(make_scene(), lambda: client.received[self._grasps])

    def play(self, scene: Scene, seconds: float = 1.5, **changes: Any) -> tuple[list[Any], list[Any]]:
        """Publish for a while; returns the grasps and descriptors of these frames."""
        sent = set(self.camera.stream(scene, seconds, rate_hz=10, **changes))
        self.client.spin(0.5)
        grasps = [m for m in self.client.received[self._grasps] if stamp_of(m) in sent]
        descriptors = [m for m in self.client.received[self._descriptor] if stamp_of(m) in sent]
        return grasps, descriptors

    def wait_for_status(self, level: bytes, timeout_s: float = 15.0) -> DiagnosticStatus:
        """The first status of a level from now on."""
        self.client.received["/diagnostics"].clear()

        def found() -> DiagnosticStatus | None:
            statuses = [message.status[0] for message in self.client.received["/diagnostics"]]
            return next((status for status in statuses if status.level == level), None)

        return self.client.spin_until(found, timeout_s, f"diagnostics of level {level!r}")


def normal(stage: Stage) -> None:
    """A hand: one grasp per frame, with a descriptor."""
    grasps, descriptors = stage.play(make_scene())
    assert len(grasps) >= 5
    assert {message.width for message in grasps} == {1}
    assert len(descriptors) == len(grasps)


def empty_scene(stage: Stage) -> None:
    """Nobody there: frames are answered by empty lists, and nothing else."""
    grasps, descriptors = stage.play(make_scene(hand=False))
    assert len(grasps) >= 5
    assert {message.width for message in grasps} == {0}
    assert descriptors == []


def two_hands(stage: Stage) -> None:
    """Two grasps per frame, one descriptor row each."""
    scene = make_scene(80, 120)
    add_hand(scene.color, scene.depth_mm, 240, 120)
    grasps, descriptors = stage.play(scene)
    assert {message.width for message in grasps} == {2}
    assert {message.height for message in descriptors} == {2}


def encoding_change(stage: Stage) -> None:
    """Depth turns from millimetres to metres and back; the results go on."""
    scene = make_scene()
    metres = (scene.depth_mm * 1e-3).astype("<f4")
    fields = {"encoding": "32FC1", "step": 4 * metres.shape[1], "data": metres.tobytes()}
    for changes in ({}, {"depth": fields}, {}):
        grasps, _ = stage.play(scene, 0.8, **changes)
        assert len(grasps) >= 2
        assert {message.width for message in grasps} == {1}


def camera_stall(stage: Stage) -> None:
    """Silence turns the diagnostics STALE; new frames end that."""
    stage.play(make_scene(), 0.5)
    status = stage.wait_for_status(DiagnosticStatus.STALE)
    assert "no result for" in status.message
    assert stage.play(make_scene(), 1.5)[0]
    stage.play(make_scene(), 0.5)
    assert stage.wait_for_status(DiagnosticStatus.STALE)


def clock_jump(stage: Stage) -> None:
    """An hour back, as when a bag starts again: the very next frames give results."""
    for _ in range(2):
        stage.camera.stamp_ns -= 3600 * 10**9
        started = time.monotonic()
        grasps, _ = stage.play(make_scene(), 1.0)
        assert len(grasps) >= 3, time.monotonic() - started
        assert all(np.isfinite(np.frombuffer(m.data, "<f4")[3:]).all() for m in grasps)


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    scenario.__name__: scenario
    for scenario in (normal, empty_scene, two_hands, encoding_change, camera_stall, clock_jump)
}
