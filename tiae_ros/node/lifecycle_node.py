"""The lifecycle node: topics in, `Pipeline`, topics out.

Two threads: the executor's (callbacks pair messages and leave the newest frame in the mailbox) and one
worker (takes it, runs the pipeline, publishes). A slow network thus never holds up a callback, and never
makes the latency grow: what was not fetched in time is replaced and counted.

    configure    models are loaded and warmed up, publishers made
    activate     subscriptions made, worker started
    deactivate   worker ended, subscriptions removed; the models stay
    cleanup      publishers removed, models freed
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool

from tiae_ros.errors import ParameterError, TiaeError
from tiae_ros.node import diagnostics, messages
from tiae_ros.node.mailbox import Mailbox
from tiae_ros.node.model_folders import DEPTH_CHANNELS, GRASP_CHANNELS, find_device, load_checked
from tiae_ros.node.pairing import Pairer
from tiae_ros.node.parameters import CONFIGURE, START, TABLE, Settings, read_overrides, unknown_name
from tiae_ros.node.pipeline import ERROR, Described, Frame, FrameDropped, Pipeline, Result, Wanted
from tiae_ros.node.statistics import Statistics
from tiae_ros.vision.segmentation_choice import CLASSICAL, Segmentation, choose_segmentation

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

_INPUT_QOS = QoSProfile(
    depth=5,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)
_OUTPUT_QOS = QoSProfile(
    depth=5,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
_OVERRIDABLE = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.DEPTH)
# Parameters that rclpy itself declares or reads.
_FOREIGN_PARAMETERS = ("use_sim_time", "start_type_description_service")
_FOREIGN_PREFIXES = ("qos_overrides.",)
_REPEAT_AFTER_S = 10.0
_FAULT_LASTS_S = 3.0
_START_S = 1.0

OUTPUTS: dict[str, type] = {
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
}


@dataclass(frozen=True)
class _Job:
    """A frame on its way to the worker."""

    header: Header
    frame: Frame
    arrived: float  # time.monotonic() of its last message


def _logged(failure: TransitionCallbackReturn) -> Callable[..., Any]:
    """rclpy swallows what a transition raises; here it becomes a log entry and a failed transition."""

    def decorate(transition: Callable[..., TransitionCallbackReturn]) -> Callable[..., Any]:
        @functools.wraps(transition)
        def wrapped(node: PerceptionNode, state: LifecycleState) -> TransitionCallbackReturn:
            try:
                return transition(node, state)
            except TiaeError as error:
                node.refuse(f"{transition.__name__[3:]} failed: {' '.join(str(error).split())}")
            except Exception:
                node.refuse(f"{transition.__name__[3:]} failed: {traceback.format_exc()}")
            return failure

        return wrapped

    return decorate


class PerceptionNode(LifecycleNode):
    """Grasps in camera images; see the module's text for its states."""

    def __init__(self, name: str = "tiae", **arguments: Any) -> None:
        super().__init__(name, **arguments)
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._settings = Settings()
        self._configured = Settings()
        self._configure_error = ""
        self._configure_remark = ""
        self._pipeline: Pipeline | None = None
        self._facts: dict[str, str] = {}
        self._statistics = Statistics()
        self._mailbox: Mailbox[_Job] = Mailbox()
        self._worker: threading.Thread | None = None
        self._pairer: Pairer[Any] = Pairer(("color", "depth"))
        self._camera_info: CameraInfo | None = None
        self._newest_done_ns: int | None = None
        self._first_result: float | None = None
        self._enabled = True
        self._state = "unconfigured"
        self._active_since = 0.0
        self._inputs: list[Any] = []
        self._input_topics: dict[str, str] = {}
        self._publishers_by_name: dict[str, Any] = {}
        self._said: dict[str, float] = {}
        self._faults: dict[str, tuple[float, str]] = {}
        self._warnings: dict[str, tuple[float, str]] = {}
        self._unreachable: dict[str, str] = {}
        self._parameter_remarks: dict[str, str] = {}
        self._declare_parameters()
        self._answer_invalid_transitions()
        self._enable_service = self.create_service(SetBool, "~/enable", self._on_enable)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Diagnostics must also come when simulated time stands still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self._make_diagnostics_timer()

    # --- parameters -------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The parameters as they are set now (some count only from the next configure on)."""
        return self._settings

    def _declare_parameters(self) -> None:
        """Declare the table; what a file or the command line gives for it is checked here, not by rclpy.

        rclpy would end the process for an `int` where a `double` is declared, and would not mention names
        that nobody declares.
        """
        known = {row.name for row in TABLE}
        given = {name: parameter.value for name, parameter in self._parameter_overrides.items()}
        self._settings, refused = read_overrides({n: v for n, v in given.items() if n in known})
        for line in refused.values():
            self.get_logger().error(f"{line}; the default is kept")
        unknown = [n for n in given if n not in known and n not in _FOREIGN_PARAMETERS]
        misspelt = {n: unknown_name(n) for n in unknown if not n.startswith(_FOREIGN_PREFIXES)}
        for line in misspelt.values():
            self.get_logger().warning(line)
        self._parameter_remarks = refused | misspelt
        for row in TABLE:
            descriptor = ParameterDescriptor(
                description=f"{row.meaning}{f' [{row.unit}]' if row.unit else ''}",
                additional_constraints=f"{row.accepted}; changes: {row.change}",
                read_only=row.change == START,
                dynamic_typing=True,  # the table checks types, and takes 1 for 1.0
            )
            self.declare_parameter(row.name, getattr(self._settings, row.name), descriptor, ignore_override=True)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """As in rclpy, but an unknown name is answered with the nearest known one."""
        for parameter in parameter_list:
            if not self.has_parameter(parameter.name):
                return SetParametersResult(successful=False, reason=unknown_name(parameter.name))
        return super().set_parameters_atomically(parameter_list)

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self._settings.with_changes(self._own(parameters))
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter]) -> None:
        changes = self._own(parameters)
        # One assignment of an immutable object: a frame sees all of the change or nothing of it.
        self._settings = self._settings.with_changes(changes)
        # What was refused at the start is settled once a good value is set.
        self._parameter_remarks = {n: line for n, line in self._parameter_remarks.items() if n not in changes}
        self._pairer.slop_s = self._settings.slop_s
        waiting = [row.name for row in TABLE if row.name in changes and row.change == CONFIGURE]
        if waiting and self._pipeline is not None:
            self.get_logger().info(f"{', '.join(waiting)}: counts from the next configure transition on")

    @staticmethod
    def _own(parameters: list[Parameter]) -> dict[str, Any]:
        known = {row.name for row in TABLE}
        return {parameter.name: parameter.value for parameter in parameters if parameter.name in known}

    def _frame_settings(self) -> Settings:
        return self._settings.live_over(self._configured)

    # --- lifecycle --------------------------------------------------------------------------------------------

    @_logged(FAILURE)
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the models, make the publishers."""
        self._configure_error = ""
        started = time.monotonic()
        settings = self._settings
        device, remark = find_device(settings.device)
        if remark:
            self.get_logger().warning(remark)
        grasp = load_checked(settings.model, GRASP_CHANNELS, device)
        depth = (
            load_checked(settings.depth_model, DEPTH_CHANNELS, device)
            if settings.depth_model not in ("", "none")
            else None
        )
        segmentation = self._choose_segmentation(settings)
        pipeline = Pipeline(grasp, depth, segmentation)
        pipeline.warm_up(settings)
        self._configured, self._pipeline = settings, pipeline
        self._facts = {
            "device": device,
            "model": grasp.manifest.model_id,
            "depth model": pipeline.depth_model_id or "none",
            "segmentation": segmentation.name if settings.mask_source == "segmentation" else "mask topics",
        }
        absent = set()
        if not pipeline.depth_model_id:
            absent |= {"restored/depth"}
        if not grasp.manifest.prototype_names:
            absent |= {"grasp_label"}
        # A callback group never forgets an entity that is gone, so each cycle has its own.
        group = MutuallyExclusiveCallbackGroup()
        for name, kind in OUTPUTS.items():
            if name not in absent:
                self._publishers_by_name[name] = self.create_lifecycle_publisher(
                    kind,
                    f"~/{name}",
                    _OUTPUT_QOS,
                    event_callbacks=PublisherEventCallbacks(
                        incompatible_qos=functools.partial(self._on_incompatible_output, f"~/{name}")
                    ),
                    qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE),
                    callback_group=group,
                )
        self._renew_diagnostics_timer()
        self._state = "inactive"
        self.get_logger().info(
            f"configured in {time.monotonic() - started:.1f} s: model {grasp.manifest.model_id}, "
            f"depth model {self._facts['depth model']}, segmentation {self._facts['segmentation']}, device {device}"
        )
        return super().on_configure(state)

    def _choose_segmentation(self, settings: Settings) -> Segmentation:
        """What finds hands and things; where a network that should do it cannot, the log and /diagnostics say so."""
        self._configure_remark = ""
        if settings.mask_source != "segmentation":
            return CLASSICAL
        chosen = choose_segmentation(settings.segmentation_method, settings.segmentation_model)
        if chosen.remark:
            self._configure_remark = chosen.remark
            self.get_logger().warning(chosen.remark)
        return chosen

    @_logged(FAILURE)
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen and to publish."""
        result = super().on_activate(state)
        self._statistics.clear()
        self._faults.clear()
        self._warnings.clear()
        self._unreachable.clear()
        self._said.clear()
        self._newest_done_ns = None
        self._first_result = None
        self._camera_info = None
        self._active_since = time.monotonic()
        self._mailbox = Mailbox()
        self._worker = threading.Thread(target=self._work, args=(self._mailbox,), name="tiae_worker", daemon=True)
        self._worker.start()
        self._subscribe()
        self._state = "active"
        self.get_logger().info(f"active; listening to {', '.join(self._input_topics.values())}")
        return result

    @_logged(FAILURE)
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen and to publish; the models stay."""
        self._stop_working()
        self._state = "inactive"
        return super().on_deactivate(state)

    @_logged(FAILURE)
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models."""
        result = super().on_cleanup(state)
        self._free()
        self._state = "unconfigured"
        return result

    @_logged(FAILURE)
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end, from any state."""
        self._stop_working()
        result = super().on_shutdown(state)
        self._free()
        self._state = "finalized"
        return result

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an error in a transition: back to the start."""
        self._stop_working()
        self._free()
        self._state = "unconfigured"
        return SUCCESS

    def refuse(self, message: str) -> None:
        """A transition failed."""
        self.get_logger().error(message)
        if message.startswith("configure"):
            self._configure_error = message.partition(": ")[2]
            self._free()
        elif message.startswith("activate"):
            self._stop_working()

    def stop(self) -> None:
        """Let go of everything, from any state; for the end of the process."""
        self._stop_working()
        self._free()

    def _stop_working(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        self._input_topics.clear()
        self._pairer.reset()
        self._mailbox.close()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.join(timeout=5.0)

    def _free(self) -> None:
        for publisher in self._publishers_by_name.values():
            self.destroy_lifecycle_publisher(publisher)
        self._publishers_by_name.clear()
        self._pipeline = None
        self._configure_remark = ""
        self._facts = {}
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _answer_invalid_transitions(self) -> None:
        """A transition that the state does not allow raises inside rclpy's service callback, and the caller waits
        for ever; it gets a refusal instead.
        """
        service = getattr(self, "_service_change_state", None)
        if service is None:
            return
        change_state = service.callback

        def answered(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except Exception as error:
                wish = request.transition.label or request.transition.id
                self.get_logger().warning(
                    f"transition {wish} is not possible in state {self._state}: {str(error).partition(', at')[0]}"
                )
                response.success = False
                return response

        service.callback = answered

    # --- input (executor's thread) ----------------------------------------------------------------------------

    def _subscribe(self) -> None:
        settings = self._configured
        compressed = settings.image_transport == "compressed"
        kind = CompressedImage if compressed else Image
        wanted: list[tuple[str, str, str, type, Callable[[Any], None]]] = [
            ("colour", "color", "color/image" + ("/compressed" if compressed else ""), kind, self._on_image),
            ("depth", "depth", "depth/image" + ("/compressedDepth" if compressed else ""), kind, self._on_image),
            (diagnostics.CAMERA_INFO, "", "color/camera_info", CameraInfo, self._on_camera_info),
        ]
        slots = ["color", "depth"]
        if settings.mask_source == "topics":
            slots += ["hand_mask", "object_mask"]
            wanted += [
                ("hand mask", "hand_mask", "hand_mask", Image, self._on_image),
                ("object mask", "object_mask", "object_mask", Image, self._on_image),
            ]
        self._pairer = Pairer(slots, slop_s=self._settings.slop_s)
        group = MutuallyExclusiveCallbackGroup()
        for name, slot, topic, message_type, callback in wanted:
            subscription = self.create_subscription(
                message_type,
                topic,
                functools.partial(callback, name, slot) if slot else callback,
                _INPUT_QOS,
                event_callbacks=SubscriptionEventCallbacks(
                    incompatible_qos=functools.partial(self._on_incompatible_input, name, topic)
                ),
                qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE),
                callback_group=group,
            )
            self._inputs.append(subscription)
            self._input_topics[name] = subscription.topic_name

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._statistics.event(diagnostics.CAMERA_INFO)
        self._camera_info = message

    def _on_image(self, name: str, slot: str, message: Any) -> None:
        self._statistics.event(name)
        if not self._enabled:
            return
        stamp = message.header.stamp
        pushed = self._pairer.push(slot, stamp.sec * 1_000_000_000 + stamp.nanosec, message)
        for reason, count in pushed.dropped.items():
            self._statistics.drop(reason, count)
        if pushed.jumped_back:
            self._newest_done_ns = None
            self._statistics.clear_rates()
            self.get_logger().info("stamps jumped back (bag loop or clock reset): starting afresh")
        for pair in pushed.pairs:
            if self._newest_done_ns is not None and pair.stamp_ns <= self._newest_done_ns:
                self._statistics.drop("out of order")
                continue
            self._newest_done_ns = pair.stamp_ns
            self._statistics.event(diagnostics.PAIR)
            items = pair.items
            frame = Frame(
                color=items["color"],
                depth=items["depth"],
                hand_mask=items.get("hand_mask"),
                object_mask=items.get("object_mask"),
                camera_info=self._camera_info,
            )
            if self._mailbox.put(_Job(items["color"].header, frame, time.monotonic())):
                self._statistics.drop(diagnostics.NEWER)

    def _on_incompatible_input(self, name: str, topic: str, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        message = (
            f"a publisher of {self.resolve_topic_name(topic)} offers an incompatible QoS policy: {policy}; nothing is "
            "received from it (see the qos_overrides parameters)"
        )
        self._unreachable[name] = message  # the event comes once, the silence lasts
        self._fault(f"QoS of {topic}", message)

    def _on_incompatible_output(self, topic: str, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._fault(
            f"QoS of {topic}",
            f"a subscriber of {self.resolve_topic_name(topic)} requests an incompatible QoS policy: {policy}; it "
            "receives nothing",
        )

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = bool(request.data)
        if not self._enabled:
            self._pairer.reset()
            self._mailbox.clear()
            # The pairer cannot see a clock that jumps back meanwhile (a bag that loops): the order starts afresh too.
            self._newest_done_ns = None
        response.success = True
        response.message = f"{'enabled' if self._enabled else 'disabled'}; the node is {self._state}"
        return response

    # --- work (worker's thread) -------------------------------------------------------------------------------

    def _work(self, mailbox: Mailbox[_Job]) -> None:
        while (job := mailbox.get()) is not None:
            with self._reported("frame"):
                self._do(job)

    @contextlib.contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """What goes wrong within costs this much and nothing else: it is counted and said."""
        try:
            yield
        except FrameDropped as dropped:
            self._statistics.drop(dropped.reason)
            if dropped.level == ERROR:
                self._fault(dropped.reason, str(dropped))
            else:
                self._warn(dropped.reason, str(dropped))
        except MemoryError as error:
            self._statistics.drop("out of memory")
            self._fault("out of memory", f"{what} dropped: not enough memory for it ({error})")
        except Exception:
            self._statistics.drop("exception")
            self._fault("exception", f"{what} dropped by an exception: {traceback.format_exc()}")

    def _do(self, job: _Job) -> None:
        pipeline, settings = self._pipeline, self._frame_settings()
        if pipeline is None or not self._enabled:
            return
        waited = time.monotonic() - job.arrived
        if waited > settings.max_age_s:
            raise FrameDropped("too old", f"a frame waited for {waited:.2f} s (max_age_s)", "warn")
        wanted = Wanted(
            segmentation=self._somebody_listens("segmentation"),
            debug_image=self._somebody_listens("debug_image"),
        )
        described = pipeline.describe(job.frame, settings, wanted)
        self._publish_descriptor(job, described)
        self._statistics.latency("pair", waited)
        with self._reported("what follows the descriptor"):
            self._add_the_rest(job.header, pipeline, described, settings)

    def _publish_descriptor(self, job: _Job, described: Described) -> None:
        """First, since most of those who listen wait for it; then it is noted how long that took."""
        started = time.perf_counter()
        if described.windows:
            self._send("descriptor", messages.image(job.header, described.descriptors.astype("<f4", copy=False)))
        since_arrival = time.monotonic() - job.arrived
        now_ns = self.get_clock().now().nanoseconds
        self._statistics.latency("publish", time.perf_counter() - started)
        self._statistics.event(diagnostics.RESULT)
        if described.windows:
            self._statistics.event(diagnostics.GRASP)
        for name, seconds in described.timings_s.items():
            self._statistics.latency(name, seconds)
        self._statistics.latency("arrival to result", since_arrival)
        stamp = job.header.stamp
        since_stamp = (now_ns - stamp.sec * 1_000_000_000 - stamp.nanosec) * 1e-9
        simulated = self.get_clock().ros_time_is_active  # it goes in ticks, and not at the pace of the processor
        if (
            (0 if simulated else since_arrival) <= since_stamp < 10
        ):  # else the stamps are of another clock (a recording)
            self._statistics.latency("stamp to result", since_stamp)
            if not simulated:
                self._statistics.latency("transport", since_stamp - since_arrival)
        if self._first_result is None:
            self._first_result = time.monotonic()
        for reason, message in described.warnings.items():
            # The first images may overtake the first camera info: no reason to worry anybody.
            if time.monotonic() - self._first_result > _START_S:
                self._warn(reason, message)

    def _add_the_rest(self, header: Header, pipeline: Pipeline, described: Described, settings: Settings) -> None:
        """What else a frame yields, topic by topic."""
        started = time.perf_counter()
        result = pipeline.restore(described)
        self._publish(header, result)
        self._statistics.latency("restoration", time.perf_counter() - started)
        with self._reported("restored depth"):
            self._add_depth(header, pipeline, result, settings)
        if described.wanted.debug_image:
            with self._reported("debug image"):
                pipeline.draw(result)
                if result.debug_image is not None:
                    self._send("debug_image", messages.image(header, result.debug_image))

    def _add_depth(self, header: Header, pipeline: Pipeline, result: Result, settings: Settings) -> None:
        started = time.perf_counter()
        pipeline.restore_depth(result, settings)
        if result.restored_depth_m is not None:
            self._send("restored/depth", messages.image(header, result.restored_depth_m))
            self._statistics.latency("restored depth", time.perf_counter() - started)

    def _somebody_listens(self, name: str) -> bool:
        publisher = self._publishers_by_name.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def _publish(self, header: Header, result: Result) -> None:
        """What the grasp model yields, but the descriptor."""
        send = self._send
        send(
            "grasps",
            messages.grasps(header, result.positions, result.descriptors, result.shifts, result.confidences),
        )
        if result.segmentation is not None:
            send("segmentation", messages.image(header, result.segmentation))
        if not result.windows:
            return
        send("shift", messages.shift(header, result.shifts[0]))
        if result.positions[0, 0] == result.positions[0, 0]:  # not NaN
            send("position", messages.position(header, result.positions[0]))
        size = 0
        if result.restored_masks is not None:
            size = result.restored_masks.shape[1]
            send("restored/hand_mask", messages.mask(header, result.restored_masks[0]))
            send("restored/object_mask", messages.mask(header, result.restored_masks[1]))
        if result.restored_k is not None:
            send("restored/camera_info", messages.camera_info(header, result.restored_k, size, size))
        if result.label is not None:
            send("grasp_label", messages.text(result.label))

    def _send(self, name: str, message: Any) -> None:
        publisher = self._publishers_by_name.get(name)
        if publisher is not None:
            publisher.publish(message)

    # --- what it says of itself -------------------------------------------------------------------------------

    def _fault(self, reason: str, message: str) -> None:
        self._faults[reason] = (time.monotonic(), message.strip().rpartition("\n")[2])
        if self._is_new(message):
            self.get_logger().error(message)

    def _warn(self, reason: str, message: str) -> None:
        self._warnings[reason] = (time.monotonic(), message)
        if self._is_new(reason):
            self.get_logger().warning(message)

    def _is_new(self, key: str) -> bool:
        """Whether this was not said lately; what goes on for every frame is said once in a while."""
        now = time.monotonic()
        if now - self._said.get(key, -1e9) < _REPEAT_AFTER_S:
            return False
        if len(self._said) > 256:
            self._said.clear()
        self._said[key] = now
        return True

    def _make_diagnostics_timer(self) -> Any:
        return self.create_timer(
            self._settings.diagnostics_period_s, self._publish_diagnostics, clock=self._steady_clock
        )

    def _renew_diagnostics_timer(self) -> None:
        period_ns = round(self._settings.diagnostics_period_s * 1e9)
        if self._diagnostics_timer.timer_period_ns != period_ns:
            self._diagnostics_timer.timer_period_ns = period_ns
            self._diagnostics_timer.reset()

    def _publish_diagnostics(self) -> None:
        now = time.monotonic()
        warnings = {
            reason: message for reason, (when, message) in [*self._warnings.items()] if now - when < _FAULT_LASTS_S
        }
        if self._parameter_remarks:
            warnings["parameters"] = "; ".join(self._parameter_remarks.values())
        if self._configure_remark:
            warnings["configuration"] = self._configure_remark
        condition = diagnostics.Condition(
            state=self._state,
            enabled=self._enabled,
            active_for_s=now - self._active_since,
            max_age_s=self._settings.max_age_s,
            inputs=self._input_topics,
            counts=self._statistics.snapshot(),
            configure_error=self._configure_error if self._state == "unconfigured" else "",
            faults={r: m for r, (when, m) in [*self._faults.items()] if now - when < _FAULT_LASTS_S},
            warnings=warnings,
            unreachable=dict(self._unreachable),
            apart_s=self._pairer.missed_by_s(),
            slop_s=self._settings.slop_s,
            facts=self._facts,
        )
        message = diagnostics.to_message(
            condition, f"{self.get_fully_qualified_name()[1:]}: perception", self._facts.get("device", "")
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
