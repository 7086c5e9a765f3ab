"""The page's process: it listens, and ten times a second, while a browser is there, it draws the newest."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from rclpy.context import Context

from tiae_ros.errors import TiaeError
from tiae_ros.node import session
from tiae_ros.node.signals import Stop
from tiae_ros.parameters import TABLE, Settings
from tiae_ros.view import pictures
from tiae_ros.view.asking import Asking
from tiae_ros.view.bug_report import save_report
from tiae_ros.view.door import Door
from tiae_ros.view.history import History
from tiae_ros.view.known_grasps import KnownGrasps, load_known_grasps
from tiae_ros.view.listening import Listener, check_node_name
from tiae_ros.view.moment import Moment, assemble
from tiae_ros.view.page import Headline, Page, Presses, describe_known
from tiae_ros.view.robot_hand import Bones, RobotHands
from tiae_ros.vision.labels import Picture

PERIOD_S = 0.1
_NICE = 10  # behind the node, wherever both want the processor
_SILENT_S = 4.0  # without diagnostics
_LEVELS = ("OK", "WARN", "ERROR", "STALE")
_FAREWELL_S = 3.0
_TABLE_EVERY = 5  # drawings


@dataclass(frozen=True)
class Options:
    """What `tiae view` was asked for."""

    node: str = ""
    bind: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    hand: str = ""
    reports: Path = Path()
    open_browser: bool = False


def run(options: Options, stop: Stop, say: Callable[[str], None]) -> None:
    """Until a signal. Raises TiaeError: the page cannot be there."""
    check_node_name(options.node)
    _behind_all_others()
    hands = RobotHands(options.hand)
    door = Door(options.bind, options.port, options.token)
    context = Context()
    session.begin(context=context)
    cv2.setNumThreads(1)
    try:
        _show(options, stop, say, context, door, hands)
    finally:
        session.end(context)


def _behind_all_others() -> None:
    """Before there are other threads: Linux keeps this for each, and new ones have that of the one that made them."""
    os.nice(_NICE)


def _show(
    options: Options, stop: Stop, say: Callable[[str], None], context: Context, door: Door, hands: RobotHands
) -> None:
    listener = Listener(context, options.node)
    live = None
    try:
        live = Live(listener, options, door, hands)
        listener.start()
        say(f"open {door.link}  (Ctrl-C ends it)")
        if options.open_browser:
            open_browser(door.link)
        while not stop.asked:
            started = time.monotonic()
            live.step()
            stop.wait(max(0.01, PERIOD_S - (time.monotonic() - started)))
    finally:
        leave_after(_FAREWELL_S)
        if live is not None:
            live.page.stop()
        listener.stop()


def leave_after(seconds: float) -> None:
    """A server with browsers on it, or rclpy's executor of events, may take for ever to end."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


def open_browser(link: str) -> None:
    """In the background: some browsers keep who opens them waiting."""
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()


class Live:
    """What the page shows, and what it remembers between two drawings."""

    def __init__(self, listener: Listener, options: Options, door: Door, hands: RobotHands) -> None:
        self._listener = listener
        self._options = options
        self._hands = hands
        self._asking = Asking(listener.node, listener.do, self._on_values)
        self._history = History()
        self._known: KnownGrasps | str | None = None
        self._map: pictures.Map | None = None
        self._model = ""
        self._asked_of = ""
        self._frames = 0
        self._enabled_at = 0.0
        self._shown: Picture | None = None
        self._drawn: tuple[Any, ...] = ()
        self._drawings = 0
        presses = Presses(pause=self._pause, enable=self._enable, save=self._save, wish=self._wish)
        self.page = Page(options.bind, door, presses)

    def step(self) -> None:
        """One drawing, if somebody looks."""
        watched = self.page.watched
        self._listener.listen(watched)
        if not watched and self._listener.recent.paused:  # nobody is left who would want it to stand still
            self._pause(False)
            self.page.show_paused(False)
        count = self._status().get("frames in", "")
        node, frames = self._listener.node_name, int(count) if count.isdecimal() else 0
        restarted = frames < self._frames
        self._frames = frames
        if node and (self._asked_of != node or restarted):
            self._asked_of = node
            self._asking.get_parameters(node, [row.name for row in TABLE])
        if watched and self.page.ready:
            self._drawings += 1
            with self.page.one_step():
                self._draw()

    # --- drawing ----------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        listener = self._listener
        recent = listener.recent.by_topic()
        unit_m = self._asking.values.get("depth_unit_m", Settings().depth_unit_m)
        moment = assemble(recent, listener.inputs, listener.node_name, listener.read, unit_m)
        state = recent.newest(f"{listener.node_name}/joint_targets")
        missing = (
            "none (parameter robot_hand)" if self._asking.values.get("robot_hand") == "" else "no joint targets come"
        )
        bones = self._hands.bones(listener.read(state)) if state is not None else missing
        # The same is not drawn twice: a camera may be slower than the page, and a paused page stands still.
        parts = moment and (moment.stamp_ns, moment.labels is None, moment.restored_depth_m is None, moment.name)
        content = (parts, state and state.time_ns, self._known)
        if moment is not None and content != self._drawn:
            self._drawn = content
            self._draw_moment(moment, bones if isinstance(bones, Bones) else None)
        self.page.show_head(self._headline(moment, bones))
        if self._drawings % _TABLE_EVERY == 1:
            status = self._status()
            self.page.show_node(status, listener.recent.rates_hz())
            self.page.sliders.allow(bool(status))
            if "enabled" in status and time.monotonic() - self._enabled_at > _SILENT_S:
                self.page.show_enabled(status["enabled"] == "true")

    def _draw_moment(self, moment: Moment, bones: Bones | None) -> None:
        grasps = moment.grasps
        descriptor = grasps.descriptors[0] if grasps is not None and len(grasps.descriptors) else None
        if grasps is not None:
            shift = None if descriptor is None else (float(grasps.shifts[0, 0]), float(grasps.shifts[0, 1]))
            self._history.add(moment.stamp_ns, descriptor, shift)
        known = self._known if isinstance(self._known, KnownGrasps) else None
        restored = known.restored(descriptor) if known is not None and descriptor is not None else None
        if known is not None and self._map is None and known.project is not None:
            self._map = pictures.Map(known)
        why_not = describe_known(self._known)
        self._shown = pictures.camera_picture(moment)
        self.page.show_pictures(
            {
                "camera": self._shown,
                "windows": pictures.windows_picture(moment, restored),
                "strip": pictures.strip_picture(self._history.strip()),
                "map": self._map.draw(self._history.track(), moment.name) if self._map else pictures.no_map(why_not),
            }
        )
        self.page.show_shift(*self._history.shifts())
        self.page.scene.draw(moment, bones)

    def _headline(self, moment: Moment | None, bones: Bones | str) -> Headline:
        status, listener = self._listener.status, self._listener
        notes = [f"robot hand: {bones}"] if isinstance(bones, str) else []
        notes += moment.faults if moment is not None else []
        if listener.recent.paused:
            notes.insert(0, "the page is paused")
        others = sorted(listener.others - {listener.node_name})
        if others and not listener.wanted:
            notes.append(f"shown is {listener.node_name}; there are also {', '.join(others)} (--node)")
        if status is None:
            wanted = listener.wanted or "a perception node"
            there = f"; there are {', '.join(others)}" if others else ""
            line = f"waiting for /diagnostics of {wanted} (ROS_DOMAIN_ID {os.environ.get('ROS_DOMAIN_ID', '0')}){there}"
            return Headline("no node yet", None, "", line, tuple(notes))
        level = _LEVELS[int.from_bytes(status.level, "little")] if status.level < b"\x04" else ""
        line, silent_s = status.message, time.monotonic() - listener.status_at
        if silent_s > max(_SILENT_S, 3 * self._asking.values.get("diagnostics_period_s", 1.0)):
            level, line = "STALE", f"{listener.node_name} has said nothing for {silent_s:.0f} s: has it ended?"
        confidence = None
        name = "no grasp"
        if moment is not None and moment.grasps is not None and len(moment.grasps.confidences):
            confidence, name = float(moment.grasps.confidences[0]), moment.name or "unknown grasp"
        return Headline(name, confidence, level, line, tuple(notes))

    def _status(self) -> dict[str, str]:
        status = self._listener.status
        return {} if status is None else {value.key: value.value for value in status.values}

    # --- what people press, on viser's threads, and what the node answers, on the listener's -------------------

    def _pause(self, paused: bool) -> None:
        self._listener.recent.paused = paused

    def _enable(self, wanted: bool) -> None:
        self._enabled_at = time.monotonic()  # the next diagnostics may be of the time before
        self._asking.enable(self._asked_of, wanted, lambda reason: self.page.tell(reason) if reason else None)

    def _wish(self, name: str, value: Any) -> None:
        def answer(reason: str) -> None:
            if reason:
                self.page.tell(reason)
                self.page.sliders.show(self._asking.values)

        self._asking.set_parameter(self._asked_of, name, value, answer)

    def _save(self) -> str:
        status = self._listener.status
        told = {"said": status.message, **self._status()} if status is not None else {}
        try:
            path = save_report(
                self._options.reports, self._listener.recent.all(), self._asking.values, told, self._shown
            )
        except TiaeError as error:
            return str(error)
        return f"saved {path.absolute()}"

    def _on_values(self, values: dict[str, Any]) -> None:
        self.page.sliders.show(values)
        model = str(values.get("model", self._model))
        if model != self._model:
            self._model = model
            threading.Thread(target=self._load, args=(model,), daemon=True).start()

    def _load(self, model: str) -> None:
        try:
            known: KnownGrasps | str = load_known_grasps(model)
        except TiaeError as error:
            known = f"no map: {error}"
        if model == self._model:  # else another one was asked for meanwhile
            self._known, self._map = known, None
