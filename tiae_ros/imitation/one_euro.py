"""The 1€ filter: a low-pass whose cut-off rises with speed, so that a still hand is still and a quick one is not late.

Casiez, Roussel, Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012. Here a noise may be given: then the cut-off stays where it is while a value is no farther ahead than that.
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
        noise: how far ahead of the filtered value one at rest may stay, in its own unit; this much raises no cut-off.
    """

    def __init__(self, cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0, noise: float = 0.0) -> None:
        self.cutoff_hz, self.beta, self.speed_cutoff_hz, self.noise = cutoff_hz, beta, speed_cutoff_hz, noise
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | None = None

    def reset(self) -> None:
        """Forget the past; the next value passes as it is."""
        self._value = self._speed = None

    def step(self, value: np.ndarray, dt_s: float) -> np.ndarray:
        """The filtered value; ``dt_s`` (above 0) is the time since the last one."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value.copy(), np.zeros_like(value)
            return value.copy()
        share = _share(np.array(self.speed_cutoff_hz), dt_s)
        self._speed = self._speed + share * ((value - self._value) / dt_s - self._speed)
        beyond_noise = np.maximum(np.abs(self._speed) - self.noise / dt_s, 0.0)
        share = _share(self.cutoff_hz + self.beta * beyond_noise, dt_s)
        self._value = self._value + share * (value - self._value)
        return self._value.copy()


def _share(cutoff_hz: np.ndarray, dt_s: float) -> np.ndarray:
    """How much of a new value enters."""
    ratio = 2 * math.pi * cutoff_hz * dt_s
    return np.asarray(ratio / (ratio + 1))
