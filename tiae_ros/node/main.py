"""The node's process: signals, executor, exit code.

SIGINT and SIGTERM end it with 0 within a second, whatever it is doing: the handlers only set a flag that the
loop sees, and a watchdog ends the process should a transition or a network hold it up.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tiae_ros.errors import MissingExtraError, install_hint
from tiae_ros.node.large_messages import publish_large_messages

_POLL_S = 0.1
_PATIENCE_S = 0.7
_WORK_S = 0.3  # for the frame at hand
_FAREWELL_S = 0.1
_M_ARENA_MAX = -8  # of glibc's malloc.h


class _Stop:
    """What a signal asks for."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.loop_runs = False
        self._node: Any = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def held_up_by(self, node: Any) -> None:
        """The main thread is in a transition of this node (None: no longer), and in no call of ROS's own."""
        self._node = node

    def _on_signal(self, number: int, frame: Any) -> None:
        if not self.loop_runs:
            # Still starting, nothing to put in order; an exception inside an extension's import would abort.
            _leave()
        if not self.asked.is_set():
            self.asked.set()
            _in(_PATIENCE_S, self._give_up)

    def _give_up(self) -> None:
        """Models that take long to load: the node leaves the graph from here, and the process ends."""
        _in(_FAREWELL_S, _leave)
        if self._node is not None:
            from tiae_ros.node import session

            with contextlib.suppress(Exception):
                self._node.destroy_node()
                self._node = None
                session.end()
        _leave()


def _in(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the signal may have come in the middle of a write
            stream.flush()
    os._exit(0)


def _use_one_thread() -> None:
    """Before numpy is imported: their matrices are small here, and threads that wait for each other take
    a busy machine's cores from the camera and from who listens (measured: a window of 2 ms took 45).
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _use_one_heap() -> None:
    """With glibc each thread allocates from a heap of its own, and the worker's grew beside that in which the models
    were warmed up: 13 MB in two minutes at 5 Hz; with one heap 6 MB in half a minute, then 0.1 MB in the next half.
    """
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such setting
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def make_executor(context: Any = None) -> Any:
    """rclpy's executor of events where it has one (later releases of Jazzy do), or else the usual one.

    The usual one goes through all topics, timers and services before it waits: half a millisecond of Python after each
    message, in which the worker cannot begin with the frame.
    context: of one's own; None: the default one.
    The executor of events has been seen to hang when it is shut down: the watchdog of `_Stop` ends the process then.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        from rclpy.executors import SingleThreadedExecutor

        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def run(ros_arguments: Sequence[str]) -> int:
    """Run the node until a signal; returns 0.

    Raises:
        ParameterError: the ROS arguments, the parameter file or the environment cannot be used.
        MissingExtraError: there is no rclpy.
    """
    stop = _Stop()
    _use_one_thread()
    _use_one_heap()
    publish_large_messages()
    try:
        from rclpy.lifecycle import TransitionCallbackReturn

        from tiae_ros.node import session
    except ImportError as error:
        raise MissingExtraError(
            f"the node needs ROS 2 ({error}); source a ROS 2 installation, or: {install_hint('ros')}"
        ) from None
    from tiae_ros.node.node import PerceptionNode

    session.begin(ros_arguments)
    stop.loop_runs = True  # from here on there is something to put in order
    node = PerceptionNode()
    executor = make_executor()
    executor.add_node(node)
    if node.settings.autostart:
        stop.held_up_by(node)
        configured = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        if configured and not stop.asked.is_set():
            node.trigger_activate()
        elif not configured:
            node.get_logger().error(
                "the node waits: set the parameter and configure it (ros2 lifecycle set), or end it with Ctrl-C and "
                "start again"
            )
        stop.held_up_by(None)
    while not stop.asked.is_set():
        try:
            executor.spin_once(timeout_sec=_POLL_S)
        except Exception:
            node.report_exception()  # one bad callback must not end the node
    idle = node.stop(_WORK_S)
    executor.shutdown(timeout_sec=0.2)
    node.destroy_node()
    del node, executor
    session.end()
    if not idle:
        _leave()  # a network that is still at work would be destroyed under its feet
    # The interpreter ends in the usual way, and DDS's shared memory goes with it.
    return 0
