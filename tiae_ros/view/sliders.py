"""The node's parameters that may change at any time, as elements of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tiae_ros.parameters import LIVE, TABLE, Parameter

_STEPS = 1000  # of a slider of real numbers
Wish = Callable[[str, Any], None]
"""Told a parameter's name and the value that somebody wants."""


class Sliders:
    """One element per parameter: a slider for numbers, a list for words, a tick for true or false."""

    def __init__(self, gui: Any, wish: Wish) -> None:
        self._wish = wish
        self._elements: dict[str, Any] = {}
        for row in TABLE:
            if row.change == LIVE:
                self._elements[row.name] = element = _element(gui, row)
                element.on_update(self._teller(row))

    def show(self, values: Mapping[str, Any]) -> None:
        """What the node says; nobody's wish is told again by this."""
        for name, value in values.items():
            element = self._elements.get(name)
            if element is not None and element.value != value:
                element.value = value

    def allow(self, allowed: bool) -> None:
        """Whether there is a node that would take a wish."""
        for element in self._elements.values():
            if element.disabled == allowed:
                element.disabled = not allowed

    def _teller(self, row: Parameter) -> Callable[[Any], None]:
        def told(event: Any) -> None:
            if event.client is not None:  # a person, not `show`
                self._wish(row.name, row.type(event.target.value))

        return told


def _element(gui: Any, row: Parameter) -> Any:
    unit = f" {row.unit}" if row.unit else ""
    label, hint = row.name, f"{row.meaning}; {row.accepted}{unit}, default {row.default}"
    if row.choices:
        return gui.add_dropdown(label, row.choices, initial_value=row.default, hint=hint)
    if row.type is bool:
        return gui.add_checkbox(label, row.default, hint=hint)
    if row.low is None or row.high is None:
        return gui.add_text(label, str(row.default), hint=hint)
    if row.type is int:
        return gui.add_slider(label, int(row.low), int(row.high), 1, row.default, hint=hint)
    return gui.add_slider(label, row.low, row.high, slider_step(row.low, row.high), row.default, hint=hint)


def slider_step(low: float, high: float) -> float:
    """A power of ten: a thousandth of the range or less, and no coarser than the lower end."""
    step = (high - low) / _STEPS
    return float(10.0 ** math.floor(math.log10(min(step, low) if low > 0 else step)))
