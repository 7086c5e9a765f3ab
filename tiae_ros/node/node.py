"""The lifecycle node: topics in, `Pipeline`, topics out.

Two threads: the executor's (callbacks pair messages and leave the newest frame with the worker) and the worker's
(runs the pipeline, publishes). A slow network thus never holds up a callback, and never makes the latency grow: what
was not fetched in time is replaced and counted.

    configure    models are loaded and warmed up, publishers made
    activate     subscriptions made, worker started
    deactivate   worker ended, subscriptions removed; the models stay
    cleanup      publishers removed, models freed
"""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable, Collection
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from tiae_ros.drawing import draw
from tiae_ros.errors import TiaeError
from tiae_ros.node import diagnostics, messages
from tiae_ros.node.frames import decode_frame
from tiae_ros.node.health import Health
from tiae_ros.node.imitation import RobotImitation
from tiae_ros.node.inputs import Inputs, Job
from tiae_ros.node.live_parameters import LiveParameters
from tiae_ros.node.outputs import Outputs
from tiae_ros.node.statistics import Statistics
from tiae_ros.node.warm_up import warm_up
from tiae_ros.node.worker import Worker
from tiae_ros.parameters import CONFIGURE, TABLE, Settings, unknown_name
from tiae_ros.perception import Described, FrameDropped, Images, Pipeline, Result, load_pipeline
from tiae_ros.streams.pairing import UNPAIRED
from tiae_ros.vision.registration import RegistrationWatch

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
_START_S = 1.0


def _logged(transition: Callable[..., TransitionCallbackReturn]) -> Callable[..., Any]:
    """rclpy swallows what a transition raises; here it becomes a log entry and a failed transition."""

    @functools.wraps(transition)
    def wrapped(node: PerceptionNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except TiaeError as error:
            node.refuse(transition.__name__[3:], " ".join(str(error).split()))
        except Exception as error:
            node.get_logger().error(traceback.format_exc())
            node.refuse(transition.__name__[3:], f"{type(error).__name__}: {' '.join(str(error).split())}")
        return FAILURE

    return wrapped


class PerceptionNode(LifecycleNode):
    """Grasps in camera images; see the module's text for its states."""

    def __init__(self, name: str = "tiae", **arguments: Any) -> None:
        super().__init__(name, **arguments)
        cv2.setNumThreads(1)
        self._configured = Settings()
        self._configure_error = ""
        self._pipeline: Pipeline | None = None
        self._facts: dict[str, str] = {}
        self._first_result: float | None = None
        self._registration = RegistrationWatch()
        self._state = "unconfigured"
        self._active_since = 0.0
        self._statistics = Statistics()
        self._health = Health(self.get_logger(), self._statistics)
        self._worker: Worker[Job] = Worker(self._work)
        self._inputs = Inputs(self, self._statistics, self._health, self._worker.put)
        self._outputs = Outputs(self, self._health)
        self._imitation = RobotImitation(self, self._outputs, self._health, self._statistics)
        self._parameters_now = LiveParameters(self, self._on_change)
        self._answer_invalid_transitions()
        self._enable_service = self.create_service(SetBool, "~/enable", self._on_enable)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Diagnostics must also come when simulated time stands still.
        self._diagnostics_timer = self.create_timer(
            self.settings.diagnostics_period_s, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def settings(self) -> Settings:
        """The parameters as they are set now (some count only from the next configure on)."""
        return self._parameters_now.settings

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """As in rclpy, but an unknown name is answered with the nearest known one."""
        for parameter in parameter_list:
            if not self.has_parameter(parameter.name):
                return SetParametersResult(successful=False, reason=unknown_name(parameter.name))
        return super().set_parameters_atomically(parameter_list)

    def destroy_node(self) -> None:
        """As in rclpy, and the lifecycle's own handle too: whoever refers to the object would keep it in the graph."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _on_change(self, names: Collection[str]) -> None:
        self._inputs.set_pairing(self.settings)
        waiting = [row.name for row in TABLE if row.name in names and row.change == CONFIGURE]
        if waiting and self._pipeline is not None:
            self.get_logger().info(f"{', '.join(waiting)}: counts from the next configure transition on")

    # --- lifecycle --------------------------------------------------------------------------------------------

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the models, make the publishers."""
        self._configure_error = ""
        started = time.monotonic()
        settings = self.settings
        pipeline = load_pipeline(settings)
        grasp, device = pipeline.grasp_model, pipeline.grasp_model.device
        if settings.device == "auto" and device == "cpu":
            self.get_logger().warning("no usable GPU: running on the CPU")
        self._imitation.configure(settings, pipeline)
        warm_up(pipeline, settings)
        segmentation = pipeline.segmentation
        self._configured, self._pipeline = settings, pipeline
        self._facts = {
            "device": device,
            "engine": f"{grasp.engine}, float32",
            "model": grasp.manifest.model_id,
            "depth model": pipeline.depth_model_id or "none",
            "segmentation": segmentation.name if segmentation else "mask topics",
        }
        absent = set() if pipeline.depth_model_id else {"restored/depth"}
        if not grasp.manifest.prototype_names:
            absent |= {"grasp_label"}
        self._outputs.open(absent | self._imitation.absent(pipeline))
        self._renew_diagnostics_timer()
        self._state = "inactive"
        self.get_logger().info(
            f"configured in {time.monotonic() - started:.1f} s: model {grasp.manifest.model_id}, "
            f"depth model {self._facts['depth model']}, segmentation {self._facts['segmentation']}, "
            f"device {device} by {grasp.engine}"
        )
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen and to publish."""
        result = super().on_activate(state)
        self._statistics.clear()
        self._health.clear()
        self._first_result = None
        self._registration = RegistrationWatch()
        if self._pipeline is not None:
            self._pipeline.forget()
        self._active_since = time.monotonic()
        self._worker.start()
        self._imitation.activate()
        self._inputs.open(self._configured.live_from(self.settings))
        self._state = "active"
        listening = f"listening to {', '.join(self._inputs.topics.values())}"
        self.get_logger().info(f"active; {self._inputs.waiting_for or listening}")
        return result

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen and to publish; the models stay."""
        self._stop_working()
        self._state = "inactive"
        return super().on_deactivate(state)

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models."""
        result = super().on_cleanup(state)
        self._free()
        self._state = "unconfigured"
        return result

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end, from any state."""
        self._stop_working()
        result = super().on_shutdown(state)
        self._free()
        self._state = "finalized"
        return result

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an error in a transition: back to the start."""
        self.stop()
        self._state = "unconfigured"
        return SUCCESS

    def refuse(self, transition: str, reason: str) -> None:
        """A transition failed."""
        self.get_logger().error(f"{transition} failed: {reason}")
        if transition == "configure":
            self._configure_error = reason
            self._free()
        elif transition == "activate":
            self._stop_working()

    def report_exception(self) -> None:
        """The one at hand, of a callback; the node goes on."""
        self._health.fault("callback", f"exception in a callback: {traceback.format_exc()}")

    def stop(self, patience_s: float = 5.0) -> bool:
        """Let go of everything, from any state; for the end of the process. Whether no frame is worked on any more."""
        idle = self._stop_working(patience_s)
        self._free()
        return idle

    def _stop_working(self, patience_s: float = 5.0) -> bool:
        self._inputs.close()
        self._imitation.deactivate()
        return self._worker.stop(patience_s)

    def _free(self) -> None:
        self._outputs.close()
        self._pipeline = None
        self._facts = {}

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
                self._health.warn(
                    "transition",
                    f"transition {wish} is not possible in state {self._state}: {str(error).partition(', at')[0]}",
                )
                response.success = False
                return response

        service.callback = answered

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._inputs.set_enabled(bool(request.data))
        if not request.data:
            self._worker.clear()
        response.success = True
        response.message = f"{'enabled' if request.data else 'disabled'}; the node is {self._state}"
        return response

    # --- work (worker's thread) -------------------------------------------------------------------------------

    def _work(self, job: Job) -> None:
        with self._health.reported("frame"):
            self._describe(job)

    def _describe(self, job: Job) -> None:
        pipeline, settings = self._pipeline, self._configured.live_from(self.settings)
        if pipeline is None or not self._inputs.enabled:
            return
        waited = time.monotonic() - job.arrived
        if waited > settings.max_age_s:
            raise FrameDropped("too old", f"a frame waited for {waited:.2f} s (max_age_s)", "warn")
        started = time.perf_counter()
        images, warnings = decode_frame(job.frame, settings, need_color=self._outputs.somebody_listens("debug_image"))
        decoded_s = time.perf_counter() - started
        described = pipeline.describe(images, settings)
        self._statistics.event(described.road)
        started = time.perf_counter()
        self._outputs.send_descriptors(job.header, described.descriptors)
        self._note_times(job, described, decode=decoded_s, publish=time.perf_counter() - started, pair=waited)
        for reason, message in warnings.items():
            # The first images may overtake the first camera info: no reason to worry anybody.
            if self._first_result and time.monotonic() - self._first_result > _START_S:
                self._health.warn(reason, message)
        with self._health.reported("joint targets"):
            self._imitation.follow(job.header, pipeline, described)
        with self._health.reported("what follows the descriptor"):
            self._add_the_rest(job.header, pipeline, described, settings)
        self._check_registration(images)

    def _check_registration(self, images: Images) -> None:
        """Now and then: do the edges of depth lie on those of colour?"""
        if not self._registration.looked_at(images.color, images.depth_m):
            return
        offset = self._registration.offset_px
        told = "no" if offset is None else f"{offset[0]:.0f}, {offset[1]:.0f} px"
        self._facts = {**self._facts, "depth beside colour": told}  # diagnostics read it on another thread
        if doubt := self._registration.doubt:
            self._health.warn("registration", doubt)

    def _note_times(self, job: Job, described: Described, **seconds: float) -> None:
        """How long it took until the descriptor, which most of those who listen wait for, was sent."""
        since_arrival = time.monotonic() - job.arrived
        now_ns = self.get_clock().now().nanoseconds
        self._statistics.event(diagnostics.RESULT)
        if described.windows:
            self._statistics.event(diagnostics.GRASP)
        for name, spent in {**seconds, **described.timings_s, "arrival to result": since_arrival}.items():
            self._statistics.latency(name, spent)
        stamp = job.header.stamp
        since_stamp = (now_ns - stamp.sec * 1_000_000_000 - stamp.nanosec) * 1e-9
        simulated = self.get_clock().ros_time_is_active  # it goes in ticks, and not at the pace of the processor
        # Otherwise the stamps are of another clock (a recording).
        if (0 if simulated else since_arrival) <= since_stamp < 10:
            self._statistics.latency("stamp to result", since_stamp)
            if not simulated:
                self._statistics.latency("transport", since_stamp - since_arrival)
        if self._first_result is None:
            self._first_result = time.monotonic()

    def _add_the_rest(self, header: Header, pipeline: Pipeline, described: Described, settings: Settings) -> None:
        """What else a frame yields, topic by topic; what fails leaves the others as they are."""
        started = time.perf_counter()
        result = pipeline.restore(described)
        self._outputs.send_result(header, result)
        self._statistics.latency("restoration", time.perf_counter() - started)
        depth_m = None
        with self._health.reported("restored depth"):
            started = time.perf_counter()
            depth_m = pipeline.restore_depth(result, settings)
            if depth_m is not None:
                self._outputs.send("restored/depth", messages.image(header, depth_m))
                self._statistics.latency("restored depth", time.perf_counter() - started)
        if self._outputs.somebody_listens("debug_image"):
            with self._health.reported("debug image"):
                self._send_debug_image(header, result, depth_m)

    def _send_debug_image(self, header: Header, result: Result, depth_m: Any) -> None:
        if result.images.color is not None:
            self._outputs.send("debug_image", messages.image(header, draw(result.images.color, result, depth_m)))

    # --- what it says of itself -------------------------------------------------------------------------------

    def _renew_diagnostics_timer(self) -> None:
        period_ns = round(self.settings.diagnostics_period_s * 1e9)
        if self._diagnostics_timer.timer_period_ns != period_ns:
            self._diagnostics_timer.timer_period_ns = period_ns
            self._diagnostics_timer.reset()

    def _publish_diagnostics(self) -> None:
        warnings = self._health.warnings()
        if self._parameters_now.remarks:
            warnings["parameters"] = "; ".join(self._parameters_now.remarks.values())
        condition = diagnostics.Condition(
            state=self._state,
            enabled=self._inputs.enabled,
            active_for_s=time.monotonic() - self._active_since,
            max_age_s=self.settings.max_age_s,
            inputs=self._inputs.topics,
            waiting_for=self._inputs.waiting_for,
            counts=self._statistics.snapshot(),
            configure_error=self._configure_error if self._state == "unconfigured" else "",
            faults=self._health.faults(),
            warnings=warnings,
            unreachable=dict(self._inputs.unreachable),
            missed=self._inputs.missed(),
            slop_s=self.settings.slop_s,
            pairing_memory_s=self.settings.pairing_memory_s,
            facts={**self._facts, **self._imitation.facts},
        )
        level, line = diagnostics.assess(condition)
        # Who reads the log alone learns of it, too; what has a line of its own needs no second one.
        if not condition.warnings and (level == "STALE" or UNPAIRED in condition.counts.recent_drops):
            self._health.tell("nothing comes of it", line)
        message = diagnostics.to_message(
            condition, f"{self.get_fully_qualified_name()[1:]}: perception", self._facts.get("device", "")
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
