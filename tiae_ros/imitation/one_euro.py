"""The 1€ filter: a low-pass whose cut-off rises with speed, so that a still hand is still and a quick one is not late.

Casiez, Roussel, Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012. Here a noise may be given: then the cut-off stays where it is while values are no farther ahead on average.
"""

from __future__ import annotations

import math

import numpy as np


class OneEuro:
    """One filter for each entry of an array.

    Args:
        cutoff_hz: cut-off at rest; lower is smoother and later.
        beta: how much the cut-off rises per unit of speed (Hz per rad/s).
        speed_cutoff_hz: cut-off of the speed itself.
        noise: a value at rest may be so far from the filtered one (its unit) without raising the cut-off.
    """

    def __init__(self, cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0, noise: float = 0.0) -> None:
        self.cutoff_hz, self.beta, self.speed_cutoff_hz, self.noise = cutoff_hz, beta, speed_cutoff_hz, noise
        self._value: np.ndarray | None = None
        self._lead: np.ndarray | None = None  # of values before the filtered one, smoothed

    def reset(self) -> None:
        """Forget the past; the next value passes as it is."""
        self._value = self._lead = None

    def step(self, value: np.ndarray, dt_s: float) -> np.ndarray:
        """The filtered value; ``dt_s`` (above 0) is the time since the last one."""
        if self._value is None or self._lead is None:
            self._value, self._lead = value.copy(), np.zeros_like(value)
            return value.copy()
        share = _share(np.array(self.speed_cutoff_hz), dt_s)
        self._lead = self._lead + share * (value - self._value - self._lead)
        speed = np.maximum(np.abs(self._lead) - self.noise, 0.0) / dt_s
        share = _share(self.cutoff_hz + self.beta * speed, dt_s)
        self._value = self._value + share * (value - self._value)
        return self._value.copy()


def _share(cutoff_hz: np.ndarray, dt_s: float) -> np.ndarray:
    """How much of a new value enters."""
    ratio = 2 * math.pi * cutoff_hz * dt_s
    return np.asarray(ratio / (ratio + 1))
