"""The page: viser's server, the panels beside the scene, and what people press."""

from __future__ import annotations

import contextlib
import html
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import viser
from viser import uplot

from tiae_ros.view.door import Door
from tiae_ros.view.known_grasps import KnownGrasps
from tiae_ros.view.pace import Pace
from tiae_ros.view.scene import Scene
from tiae_ros.view.sliders import Sliders
from tiae_ros.vision.labels import Floats, Picture

_JPEG = 80
_COLORS = {"OK": "#4caf50", "WARN": "#ffb300", "ERROR": "#ef5350", "STALE": "#9e9e9e", "": "#9e9e9e"}
_CSS = "font: 13px/1.35 sans-serif; padding: 0 12px; overflow-wrap: anywhere"


@dataclass(frozen=True)
class Presses:
    """What happens when somebody presses something; called on viser's threads."""

    pause: Callable[[bool], None]
    enable: Callable[[bool], None]
    save: Callable[[], str]
    """One line: where it is, or why not."""
    wish: Callable[[str, Any], None]


@dataclass(frozen=True)
class Headline:
    """The first lines of the page."""

    name: str
    confidence: float | None
    level: str
    line: str
    notes: tuple[str, ...] = ()


class _Server(viser.ViserServer):
    """viser's server, which calls nobody."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Any browser could otherwise have this machine make a tunnel to a server of others."""
        return None


class Page:
    """Made once; `draw…` is called by one thread. The server begins to listen when it is made."""

    def __init__(self, bind: str, door: Door, presses: Presses) -> None:
        with door.guarding(), contextlib.redirect_stdout(io.StringIO()):
            self._server = _Server(host=bind, port=door.port, label="tiae", verbose=False)
        gui = self._server.gui
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        self.pace = Pace()
        self.scene = Scene(self._server)
        empty = np.zeros((4, 4, 3), np.uint8)
        self._pictures: dict[str, Any] = {}

        def picture(name: str, label: str | None) -> None:
            self._pictures[name] = gui.add_image(empty, label=label, format="jpeg", jpeg_quality=_JPEG)

        left = gui.add_panel()
        with left.add_tab("What it sees"):
            picture("camera", None)
            picture("windows", None)
            picture("strip", None)
        left.dock_left()
        left.set_width(500)
        self._head = gui.add_html("")
        self._pause = gui.add_checkbox("Pause the page", False, hint="the last 2 s stay; the node goes on")
        self._enable = gui.add_checkbox("Node works", True, hint="~/enable: off, the node drops what comes")
        save = gui.add_button("Save the last 2 s as a bug report", icon="bug")
        tabs = gui.add_tab_group()
        with tabs.add_tab("Grasp"):
            picture("map", None)
            self._shift = _plot(gui)
        with tabs.add_tab("Parameters"):
            self.sliders = Sliders(gui, presses.wish)
        with tabs.add_tab("Node"):
            self._node = gui.add_html("")
        self._server.gui.main_panel.dock_right()
        self._server.gui.main_panel.set_width(480)
        self._pause.on_update(lambda event: presses.pause(bool(event.target.value)))
        self._enable.on_update(self._when_a_person(lambda value: presses.enable(bool(value))))
        save.on_click(lambda event: self._tell(event.client, presses.save()))

    @property
    def watched(self) -> bool:
        """Whether a browser is there."""
        return bool(self._server.get_clients())

    @property
    def ready(self) -> bool:
        """Whether the browsers have shown what they were sent."""
        return self.pace.ready(self._server.get_clients())

    @contextlib.contextmanager
    def one_step(self) -> Iterator[None]:
        """What is drawn in here appears at once."""
        with self._server.atomic():
            yield
        self.pace.sent(self._server.get_clients())

    def show_pictures(self, pictures: Mapping[str, Picture]) -> None:
        """By name: camera, windows, strip, map."""
        for name, pixels in pictures.items():
            self._pictures[name].image = pixels

    def show_shift(self, seconds: Floats, dx: Floats, dy: Floats) -> None:
        """Over time, in pixels."""
        if len(seconds) > 1:
            self._shift.data = tuple(np.asarray(one, np.float64) for one in (seconds, dx, dy))

    def show_head(self, head: Headline) -> None:
        """Name, confidence that it is a hand, and what the node says."""
        sure = f"hand {head.confidence:.2f}" if head.confidence is not None else ""
        notes = "".join(f"<div style='color:#9e9e9e'>{html.escape(note)}</div>" for note in head.notes)
        color = _COLORS.get(head.level, _COLORS[""])
        self._put(
            self._head,
            f"<div style='{_CSS}'><span style='font-size:26px; font-weight:600'>{html.escape(head.name)}</span>"
            f"<span style='font-size:18px; float:right; padding-top:8px'>{sure}</span>"
            f"<div style='clear:both; min-height:3em'><b style='color:{color}'>{head.level}</b> "
            f"{html.escape(head.line)}</div>{notes}</div>",
        )

    def show_node(self, values: Mapping[str, str], rates_hz: Mapping[str, float]) -> None:
        """Latencies and drops of the node, and the rates at which things come here."""

        def table(title: str, rows: Mapping[str, str]) -> str:
            lines = "".join(
                f"<tr><td style='padding-right:10px'>{html.escape(key)}</td><td>{html.escape(value)}</td></tr>"
                for key, value in rows.items()
            )
            return f"<b>{title}</b><table style='margin-bottom:8px; font-size:12px'>{lines}</table>"

        drops = {key: value for key, value in values.items() if key.startswith("dropped")}
        times = {key.removesuffix(" p50 / p99"): value for key, value in values.items() if key.endswith("p50 / p99")}
        rest = {key: value for key, value in values.items() if key not in drops and not key.endswith("p50 / p99")}
        here = {"time until the browser has it": f"{1e3 * self.pace.round_trip_s:.0f} ms"}
        here |= {topic: f"{rate:.1f} Hz" for topic, rate in sorted(rates_hz.items())}
        parts = [("Drops", drops), ("Latency, p50 / p99", times), ("Node", rest), ("Comes here", here)]
        self._put(self._node, f"<div style='{_CSS}'>{''.join(table(*part) for part in parts)}</div>")

    def show_paused(self, paused: bool) -> None:
        """The tick of the pause."""
        self._pause.value = paused

    def show_enabled(self, enabled: bool) -> None:
        """What the node says; nobody's press."""
        if self._enable.value != enabled:
            self._enable.value = enabled

    def tell(self, line: str) -> None:
        """A note in every browser, for a few seconds."""
        for client in self._server.get_clients().values():
            self._tell(client, line)

    def stop(self) -> None:
        """Close the port; browsers say that they have lost it."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    @staticmethod
    def _when_a_person(act: Callable[[Any], None]) -> Callable[[Any], None]:
        """What the page shows of the node's own state is nobody's press."""

        def pressed(event: Any) -> None:
            if event.client is not None:
                act(event.target.value)

        return pressed

    @staticmethod
    def _tell(client: Any, line: str) -> None:
        if client is not None:
            client.add_notification("tiae view", line, auto_close_seconds=12.0)

    @staticmethod
    def _put(element: Any, content: str) -> None:
        if element.content != content:
            element.content = content


def _plot(gui: Any) -> Any:
    """Shift over time."""
    empty = np.array([-1.0, 0.0])
    return gui.add_uplot(
        (empty, np.full(2, np.nan), np.full(2, np.nan)),
        (
            uplot.Series(label="seconds"),
            uplot.Series(label="right (px)", stroke="#ff8c3c", width=2),
            uplot.Series(label="down (px)", stroke="#4696ff", width=2),
        ),
        title="shift from the picture's centre",
        scales={"x": uplot.Scale(time=False, auto=True)},
        axes=(uplot.Axis(stroke="#bbb"), uplot.Axis(stroke="#bbb")),
        height=150,
    )


def describe_known(known: KnownGrasps | str | None) -> str:
    """Why there is no map; "" when there is one."""
    if isinstance(known, KnownGrasps):
        return "" if known.project is not None else "the model has no names: tiae name gives it some"
    return known or "loading the model"
