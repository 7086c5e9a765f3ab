"""The node and the player as processes of their own, and a test's own side of the topics.

Each test run and each of its workers has its own ROS_DOMAIN_ID and talks on this machine only; every wait has a
time-out.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from tiae_ros.node.large_messages import publish_large_messages


def _domain() -> int:
    """One of 1..100 (Linux leaves 0..101 free of its ephemeral ports), by this run and, under pytest-xdist, worker.

    Two runs of two workers at once share one only where their process ids are 0 or 37 apart, modulo 100.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    run = int(os.environ.get("TIAE_TEST_DOMAIN_ID") or (os.getppid() if worker else os.getpid()))
    return 1 + (run + 37 * int(worker.removeprefix("gw") or 0)) % 100


DOMAIN = _domain()
START_TIMEOUT_S = 40.0
PROGRAM = ("-m", "tiae_ros.cli")
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
_CHILD_ENVIRONMENT = dict(os.environ)
publish_large_messages()  # the test is a camera; the node has to get along with Fast DDS as it is


def environment() -> dict[str, str]:
    """For child processes."""
    return {**_CHILD_ENVIRONMENT, "ROS_DOMAIN_ID": str(DOMAIN), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class Process:
    """`tiae ...` with its output in a file."""

    def __init__(self, words: Sequence[str], log: Path, program: Sequence[str] = PROGRAM) -> None:
        self.log_file = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program, *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd=log.parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, pattern: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """Until the output matches; returns the match."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.output):
                return found.group()
            if not self.alive:
                time.sleep(0.05)
                if found := re.search(pattern, self.output):
                    return found.group()
                raise AssertionError(f"ended with {self._process.returncode} before {pattern!r}:\n{self.output}")
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} within {timeout_s} s:\n{self.output}")

    def send(self, number: int) -> None:
        """Send a signal and go on."""
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGINT, timeout_s: float = 10.0) -> tuple[int, float]:
        """Send a signal; returns (exit code, seconds until the end)."""
        started = time.monotonic()
        self._process.send_signal(number)
        return self.join(timeout_s), time.monotonic() - started

    def join(self, timeout_s: float) -> int:
        """Wait for the end; returns the exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"still running after {timeout_s} s:\n{self.output}") from None

    def kill(self) -> None:
        if self.alive:
            self._process.kill()
        self._process.wait()


@contextmanager
def node_process(
    folder: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    arguments: Sequence[str] = (),
    wait_for: str = "active; listening",
    name: str = "node",
    program: Sequence[str] = PROGRAM,
) -> Iterator[Process]:
    """`tiae node` with parameters, ended (and waited for) at the end."""
    words = ["node", "--ros-args"]
    for key, value in (parameters or {}).items():
        text = str(value).lower() if isinstance(value, bool) else value
        words += ["-p", f"{key}:={text}"]
    process = Process([*words, *arguments], folder / f"{name}.log", program)
    try:
        if wait_for:
            process.wait_for(wait_for)
        yield process
    finally:
        if process.alive:
            process.end()
        process.kill()


class NoAnswerError(AssertionError):
    """A service was asked and did not answer in time."""


class Client:
    """The test's own node: collects messages, publishes images, calls services."""

    def __init__(self, name: str = "test_client", namespace: str = "") -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=DOMAIN, signal_handler_options=SignalHandlerOptions.NO, args=[])
        self.node = Node(name, context=self._context, namespace=namespace, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self.arrived: dict[str, list[float]] = defaultdict(list)
        self._subscriptions: list[Any] = []

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def reset(self) -> None:
        """Let go of all topics; the participant stays known to the other processes, which saves discovery."""
        for subscription in list(self.node.subscriptions):
            self.node.destroy_subscription(subscription)
        for publisher in list(self.node.publishers):
            if publisher.topic_name not in ("/parameter_events", "/rosout"):
                self.node.destroy_publisher(publisher)
        self._subscriptions.clear()
        self.received.clear()
        self.arrived.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def listen(self, kind: type, topic: str, *, reliable: bool = True, depth: int = 200) -> Any:
        """Collect a topic into ``received[topic]``."""

        def keep(message: Any) -> None:
            self.received[topic].append(message)
            self.arrived[topic].append(time.monotonic())

        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        subscription = self.node.create_subscription(
            kind, topic, keep, QoSProfile(depth=depth, reliability=reliability)
        )
        self._subscriptions.append(subscription)
        return subscription

    def wait_for_publishers(self, timeout_s: float = 20.0) -> None:
        """Until something publishes on every topic that is listened to: discovery may take seconds."""

        def missing() -> list[str]:
            return [s.topic_name for s in self._subscriptions if not s.get_publisher_count()]

        self.spin_until(lambda: not missing(), timeout_s, "publishers of all topics")
        self.spin(0.3)  # the other side learns of a match a little later

    def publisher(self, kind: type, topic: str, *, reliable: bool = True) -> Any:
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return self.node.create_publisher(kind, topic, QoSProfile(depth=10, reliability=reliability))

    def spin(self, seconds: float) -> None:
        """Let messages in for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.05))

    def spin_until(self, condition: Callable[[], Any], timeout_s: float = 15.0, what: str = "") -> Any:
        """Let messages in until something is true; its value."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                counts = {topic: len(messages) for topic, messages in self.received.items()}
                raise AssertionError(f"not within {timeout_s} s: {what or condition}; received {counts}")
            self._executor.spin_once(timeout_sec=0.02)
        return value

    @contextmanager
    def caller(self, kind: type, service: str, timeout_s: float = 15.0) -> Iterator[Callable[..., Any]]:
        """A function that asks the service again and again: ``ask(request)`` gives the answer.

        An answer can be lost while the two sides are still finding each other: up to ``attempts`` times asked again.
        """
        client = self.node.create_client(kind, service)

        def ask(request: Any, attempts: int = 1) -> Any:
            for attempt in range(attempts):
                future = client.call_async(request)
                last = attempt == attempts - 1
                deadline = time.monotonic() + (timeout_s if last else 2.0)
                while not future.done() and time.monotonic() < deadline:
                    self._executor.spin_once(timeout_sec=0.02)
                if future.done():
                    return future.result()
            raise NoAnswerError(f"no answer of {service}")

        try:
            self.spin_until(client.service_is_ready, timeout_s, f"service {service}")
            self.spin(0.1)
            yield ask
        finally:
            self.node.destroy_client(client)

    def call(self, kind: type, service: str, request: Any, timeout_s: float = 15.0, attempts: int = 3) -> Any:
        """Call a service once."""
        with self.caller(kind, service, timeout_s) as ask:
            return ask(request, attempts)

    def change_state(self, transition: str, node: str = "/tiae") -> bool:
        """Ask for a lifecycle transition by its label; whether it was made.

        Where the answer is lost, the state in which the node comes to rest tells: a transition cannot be asked for
        twice. One that is refused because it was made before is taken for made there.
        """
        from lifecycle_msgs.srv import ChangeState

        try:
            return self.call(
                ChangeState, f"{node}/change_state", transition_request(transition), 20.0, attempts=1
            ).success
        except NoAnswerError:
            at_rest = self.spin_until(
                lambda: (state := self.state(node)) in _AT_REST and state, 20.0, f"{node} at rest"
            )
            return bool(at_rest == _STATE_AFTER[transition])

    def state(self, node: str = "/tiae") -> str:
        from lifecycle_msgs.srv import GetState

        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def set_parameter(self, name: str, value: Any, node: str = "/tiae") -> tuple[bool, str]:
        """(accepted, reason)."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, f"{node}/set_parameters", request).results[0]
        return result.successful, result.reason

    def get_parameter(self, name: str, node: str = "/tiae") -> Any:
        from rcl_interfaces.srv import GetParameters
        from rclpy.parameter import parameter_value_to_python

        answer = self.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=[name]))
        return parameter_value_to_python(answer.values[0])


_STATE_AFTER = {
    "configure": "inactive",
    "activate": "active",
    "deactivate": "inactive",
    "cleanup": "unconfigured",
    "shutdown": "finalized",
}
_AT_REST = {"unconfigured", "inactive", "active", "finalized"}


def transition_request(transition: str) -> Any:
    """A lifecycle transition by its label."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    number = getattr(Transition, f"TRANSITION_{transition.upper()}")
    return ChangeState.Request(transition=Transition(id=number))


_HOURS = itertools.count()


class Camera:
    """Publishes scenes as a camera driver would, with any fault a test wants."""

    def __init__(
        self, client: Client, prefix: str = "", *, camera_info: bool = True, reliable: bool = True, masks: bool = False
    ) -> None:
        from sensor_msgs.msg import CameraInfo, Image

        self._client = client
        self.color = client.publisher(Image, f"{prefix}color/image", reliable=reliable)
        self.depth = client.publisher(Image, f"{prefix}depth/image", reliable=reliable)
        self.info = client.publisher(CameraInfo, f"{prefix}color/camera_info") if camera_info else None
        self.masks = [client.publisher(Image, f"{prefix}{n}_mask") for n in ("hand", "object")] if masks else []
        self.stamp_ns = 1_700_000_000_000_000_000 + next(_HOURS) * 3600 * 10**9

    def wait_for_node(self, timeout_s: float = 20.0) -> None:
        publishers = [p for p in (self.color, self.depth, self.info, *self.masks) if p is not None]
        self._client.spin_until(
            lambda: all(p.get_subscription_count() for p in publishers), timeout_s, "the node's subscriptions"
        )
        self._client.spin(0.3)

    def shoot(self, scene: Any, *, step_ns: int = 33_000_000, **changes: Any) -> int:
        """Publish one frame; ``changes`` may replace messages' fields: ``color={...}``, ``depth={...}``,
        ``info={...}``; returns the stamp.
        """
        self.stamp_ns += step_ns
        if self.info is not None:
            self.info.publish(camera_info_message(scene.depth_mm.shape, self.stamp_ns, **changes.get("info", {})))
        self.color.publish(image_message(scene.color, "rgb8", self.stamp_ns, **changes.get("color", {})))
        self.depth.publish(image_message(scene.depth_mm, "16UC1", self.stamp_ns, **changes.get("depth", {})))
        for publisher, mask in zip(self.masks, changes.get("masks", ()), strict=False):
            publisher.publish(image_message(mask, "mono8", self.stamp_ns))
        return self.stamp_ns

    def stream(self, scene: Any, seconds: float, rate_hz: float = 20.0, **changes: Any) -> list[int]:
        """Publish a scene again and again, letting messages in between."""
        stamps = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            stamps.append(self.shoot(scene, step_ns=round(1e9 / rate_hz), **changes))
            self._client.spin(1 / rate_hz)
        return stamps

    def stream_until(
        self, scene: Any, condition: Callable[[], Any], timeout_s: float = 20.0, rate_hz: float = 10.0, **changes: Any
    ) -> list[int]:
        """Publish a scene until something is true: a subscription that is matched here may not yet be there."""
        stamps: list[int] = []
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"nothing after {len(stamps)} frames"
            stamps += self.stream(scene, 1.5 / rate_hz, rate_hz, **changes)
        return stamps


def image_message(pixels: np.ndarray, encoding: str, stamp_ns: int, /, **fields: Any) -> Any:
    """sensor_msgs/Image; any field may be replaced."""
    import array

    from sensor_msgs.msg import Image

    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=pixels[0].nbytes)
    message.header.frame_id = "camera_color_optical_frame"
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
    for name, value in fields.items():
        if name == "frame_id":
            message.header.frame_id = value
        else:
            setattr(message, name, value)
    return message


def camera_info_message(shape: tuple[int, ...], stamp_ns: int, focal: float = 300.0, /, **fields: Any) -> Any:
    """sensor_msgs/CameraInfo of a pinhole camera."""
    from sensor_msgs.msg import CameraInfo

    height, width = shape[:2]
    message = CameraInfo(height=height, width=width, distortion_model="plumb_bob")
    message.header.frame_id = fields.pop("frame_id", "camera_color_optical_frame")
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def stamp_of(message: Any) -> int:
    """Nanoseconds."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def pixels_of(message: Any) -> np.ndarray:
    """The values of a mono8, rgb8 or 32FC1 image."""
    kinds = {"mono8": ("u1", 1), "rgb8": ("u1", 3), "32FC1": ("<f4", 1)}
    kind, channels = kinds[message.encoding]
    values = np.frombuffer(message.data, kind).reshape(message.height, message.width, channels)
    return values[:, :, 0] if channels == 1 else values
