"""Lens distortion: which ray a pixel of a picture that is not rectified belongs to.

Models and order of coefficients are those of sensor_msgs/distortion_models (OpenCV's): plumb_bob (k1 k2 p1 p2 k3),
rational_polynomial (k1 k2 p1 p2 k3 k4 k5 k6) and equidistant (k1 k2 k3 k4). Coordinates are those of the plane at
distance 1: (pixel - principal point) / focal length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MODELS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}
"""Name -> most coefficients; missing ones are 0."""

_ROUNDS = 50
_STEPS = 12  # of Newton's method
_CLOSE_ENOUGH = 1e-4  # of the focal length: a twentieth of a pixel at 500


@dataclass(frozen=True)
class Distortion:
    """How a lens moves the picture."""

    model: str
    coefficients: tuple[float, ...]

    def distorted(self, x: float, y: float) -> tuple[float, float]:
        """Where the ray through (x, y) is seen."""
        square = x * x + y * y
        if self.model == "equidistant":
            k1, k2, k3, k4 = self._padded()
            radius = math.sqrt(square)
            if radius == 0:
                return x, y
            angle = math.atan(radius)
            a2 = angle * angle
            scale = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4)))) / radius
            return x * scale, y * scale
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self._padded(), 0.0, 0.0, 0.0)[:8]
        below = 1 + square * (k4 + square * (k5 + square * k6))
        scale = (1 + square * (k1 + square * (k2 + square * k3))) / below if below else math.inf
        return (
            x * scale + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * scale + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
        )

    def ray(self, x: float, y: float) -> tuple[float, float] | None:
        """The ray that is seen at (x, y); None where the coefficients know none (far outside the picture)."""
        if self.model == "equidistant":
            return self._equidistant_ray(x, y)
        guess_x, guess_y = x, y
        off_x = off_y = math.inf
        for _ in range(_ROUNDS):
            seen_x, seen_y = self.distorted(guess_x, guess_y)
            if not (math.isfinite(seen_x) and math.isfinite(seen_y)):
                return None
            off_x, off_y = x - seen_x, y - seen_y
            if max(abs(off_x), abs(off_y)) < 0.01 * _CLOSE_ENOUGH:
                break
            guess_x, guess_y = guess_x + off_x, guess_y + off_y
            if max(abs(guess_x), abs(guess_y)) > 1e3:
                return None
        return (guess_x, guess_y) if max(abs(off_x), abs(off_y)) < _CLOSE_ENOUGH else None

    def _equidistant_ray(self, x: float, y: float) -> tuple[float, float] | None:
        k1, k2, k3, k4 = self._padded()
        radius = math.hypot(x, y)
        if radius == 0:
            return x, y
        angle = radius
        for _ in range(_STEPS):
            a2 = angle * angle
            off = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4)))) - radius
            slope = 1 + a2 * (3 * k1 + a2 * (5 * k2 + a2 * (7 * k3 + a2 * 9 * k4)))
            if not math.isfinite(off) or slope <= 0:
                return None
            angle -= off / slope
        if abs(off) > _CLOSE_ENOUGH or not 0 <= angle < math.pi / 2:
            return None
        scale = math.tan(angle) / radius
        return x * scale, y * scale

    def _padded(self) -> tuple[float, ...]:
        return (*self.coefficients, *[0.0] * MODELS[self.model])[: MODELS[self.model]]


def camera_at(k: NDArray[np.float64], distortion: Distortion | None, x_px: float, y_px: float) -> NDArray[np.float64]:
    """K (3, 3) with its principal point moved so that it is right, without distortion, around one pixel.

    NaN where the lens shows nothing there.
    """
    if distortion is None:
        return k
    y = (y_px - k[1, 2]) / k[1, 1]
    x = (x_px - k[0, 2] - k[0, 1] * y) / k[0, 0]
    ray = distortion.ray(x, y)
    moved = k.copy()
    if ray is None:
        moved[:2, 2] = np.nan
        return moved
    moved[0, 2] = x_px - k[0, 0] * ray[0] - k[0, 1] * ray[1]
    moved[1, 2] = y_px - k[1, 1] * ray[1]
    return moved
