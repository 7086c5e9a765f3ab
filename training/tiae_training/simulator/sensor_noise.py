"""What a depth camera and a colour camera do to a clean picture.

Depth in metres, NaN = nothing. Angles are between the view ray and the surface normal.

Structured light (Kinect v1; Nguyen, Izadi, Lovell 2012): axial deviation
0.0012 + 0.0019 (z - 0.4)^2 + (0.0001 / sqrt z) a^2 / (pi/2 - a)^2 metres, lateral deviation 0.8 + 0.035 a / (pi/2 - a)
pixels of a 640 pixels wide image, nothing above 75 degrees.
Active stereo: disparity f B / z with noise of 0.08 px, read in steps of 1/32 px; what only one of the two cameras sees
has no depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError

SENSORS = ("structured_light", "stereo")
_STEEPEST = np.radians(75.0)
_SENSOR_WIDTH_PX = 640.0  # images are small copies of what such a sensor delivers
_STEREO_WIDTH_PX = 424.0  # its matching works on a coarser grid
_MATCHING_PX = 2.7  # of that grid

Depth = NDArray[np.float32]


@dataclass(frozen=True)
class DepthFaults:
    """Amounts of what comes on top of the formulas: 0 switches a fault off."""

    holes: float = 1.0
    fattening: float = 1.0
    shadows: float = 1.0
    lateral: float = 1.0


def view_angles(depth_m: Depth, focal_px: float) -> NDArray[np.float32]:
    """(H, W) angle between view ray and surface normal, from the depth picture itself."""
    height, width = depth_m.shape
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / focal_px
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None] / focal_px
    # Central differences; on an edge the smaller of the two one-sided ones, so that silhouettes stay thin.
    slope_x, slope_y = _slope(depth_m, 1), _slope(depth_m, 0)
    # Surface (x z, y z, z) with image coordinates as parameters: normal = (-dz/dx f, -dz/dy f, z + x dz/dx f + ...)
    nx, ny = -slope_x * focal_px, -slope_y * focal_px
    nz = depth_m - x * nx - y * ny
    cosine = (x * nx + y * ny + nz) / (np.sqrt(nx**2 + ny**2 + nz**2) * np.sqrt(1 + x**2 + y**2))
    return np.arccos(np.clip(np.abs(cosine), 0.0, 1.0)).astype(np.float32)


def _slope(values: Depth, axis: int) -> NDArray[np.float32]:
    step = np.diff(values, axis=axis)
    first = np.concatenate([np.take(step, [0], axis), step], axis)
    second = np.concatenate([step, np.take(step, [-1], axis)], axis)
    return np.where(np.abs(first) < np.abs(second), first, second)


def structured_light_sigma(depth_m: Depth, angles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Axial standard deviation in metres."""
    steep = np.minimum(angles, np.float32(_STEEPEST))
    tilt = (steep / (np.pi / 2 - steep)) ** 2
    return (0.0012 + 0.0019 * (depth_m - 0.4) ** 2 + 0.0001 / np.sqrt(depth_m) * tilt).astype(np.float32)


def stereo_sigma(
    depth_m: Depth, focal_px: float, baseline_m: float = 0.05, disparity_sigma_px: float = 0.08
) -> NDArray[np.float32]:
    """Axial standard deviation in metres for a focal length in pixels of the matching grid."""
    return (depth_m**2 * disparity_sigma_px / (focal_px * baseline_m)).astype(np.float32)


def add_depth_noise(
    depth_m: Depth,
    focal_px: float,
    sensor: str,
    rng: np.random.Generator,
    *,
    dark: NDArray[np.bool_] | None = None,
    faults: DepthFaults = DepthFaults(),
    max_depth_m: float = 6.0,
) -> Depth:
    """The picture a sensor of this kind gives of `depth_m`. `dark` marks surfaces that return little light."""
    if sensor not in SENSORS:
        raise ParameterError(f"unknown depth sensor {sensor!r}; accepted: {', '.join(SENSORS)}")
    height, width = depth_m.shape
    angles = view_angles(depth_m, focal_px)
    lost = (depth_m > max_depth_m) | ~np.isfinite(depth_m)
    depth = np.where(lost, np.float32(max_depth_m), depth_m)
    if faults.fattening > 0:
        depth = _fatten(depth, faults.fattening * width / _SENSOR_WIDTH_PX, rng)
    if faults.lateral > 0:
        depth = _jitter(depth, angles, faults.lateral * width / _SENSOR_WIDTH_PX, rng)
    if sensor == "structured_light":
        baseline = 0.075
        noise = rng.standard_normal((height, width), dtype=np.float32)
        noisy = depth + noise * structured_light_sigma(depth, angles)
        lost |= angles > _STEEPEST
    else:
        baseline = 0.05
        grid_focal = focal_px * _STEREO_WIDTH_PX / width
        disparity = grid_focal * baseline / depth
        disparity += 0.08 * _matched_noise(height, width, rng)
        noisy = grid_focal * baseline / np.maximum(np.round(disparity * 32) / 32, 1 / 32)
    if faults.shadows > 0:
        lost |= _shadow(depth, focal_px * baseline, left=bool(rng.random() < 0.5))
    if faults.holes > 0:
        lost |= _holes(angles, dark, faults.holes, rng)
    return np.where(lost, np.float32(np.nan), noisy).astype(np.float32)


def _matched_noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Unit noise in blocks as large as the matching window: neighbours of a large image err together."""
    block = max(1, round(width * _MATCHING_PX / _STEREO_WIDTH_PX))
    rows, columns = -(-height // block), -(-width // block)
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    return noise.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]


def _fatten(depth: Depth, amount: float, rng: np.random.Generator) -> Depth:
    """Edges of near things grow by up to some pixels, in places."""
    kernel = np.ones((3, 3), np.uint8)
    cells = (max(2, depth.shape[0] // 8), max(2, depth.shape[1] // 8))
    field = cv2.resize(rng.random(cells, dtype=np.float32), depth.shape[::-1])
    grown = cv2.erode(depth, kernel)
    return np.where(field < min(0.9, amount * 2.0), grown, depth)


def _jitter(depth: Depth, angles: NDArray[np.float32], scale: float, rng: np.random.Generator) -> Depth:
    """Lateral noise: each pixel reads the depth of a place a little beside it."""
    height, width = depth.shape
    steep = np.minimum(angles, np.float32(_STEEPEST))
    sigma = (0.8 + 0.035 * steep / (np.pi / 2 - steep)) * scale
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    rows += rng.standard_normal(depth.shape, dtype=np.float32) * sigma
    columns += rng.standard_normal(depth.shape, dtype=np.float32) * sigma
    return cv2.remap(depth, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _shadow(depth: Depth, focal_baseline: float, *, left: bool) -> NDArray[np.bool_]:
    """Background that the second camera (or the projector) cannot see past a nearer thing."""
    columns = np.arange(depth.shape[1], dtype=np.float32)
    if left:
        seen = columns - focal_baseline / depth
        limit = np.minimum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
        return seen > limit + 0.25
    seen = columns + focal_baseline / depth
    limit = np.maximum.accumulate(seen, axis=1)
    return seen < limit - 0.25


def _holes(
    angles: NDArray[np.float32], dark: NDArray[np.bool_] | None, amount: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Blobs without depth, more of them where the surface is steep or dark."""
    height, width = angles.shape
    cells = (max(4, height // 3), max(4, width // 3))
    field = cv2.resize(rng.random(cells, dtype=np.float32), (width, height))
    share = 0.03 + 0.25 * (angles > np.radians(70)) + (0.20 * dark if dark is not None else 0.0)
    single = rng.random((height, width), dtype=np.float32) < 0.002 * amount
    return (field < amount * share) | single


@dataclass(frozen=True)
class ColourCamera:
    """A plain colour camera: white balance and exposure, gamma, blur, noise that stays and noise that flickers."""

    gain: NDArray[np.float32]  # (3,)
    gamma: float
    blur_px: float  # 0: none
    pattern: NDArray[np.float32]  # (H, W, 3), the same in every picture
    flicker: float  # standard deviation, new in every picture

    def picture(self, rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """What this camera makes of a clean rendering."""
        values = rgb.astype(np.float32) / 255.0
        if self.blur_px > 0:
            values = cv2.GaussianBlur(values, (0, 0), self.blur_px)
        values = np.clip(values * self.gain, 0, 1) ** np.float32(self.gamma) + self.pattern
        if self.flicker > 0:
            values += np.float32(self.flicker) * rng.standard_normal(values.shape, dtype=np.float32)
        return (np.clip(values, 0, 1) * 255.0 + 0.5).astype(np.uint8)


def draw_colour_camera(
    rgb: NDArray[np.uint8], rng: np.random.Generator, *, steady: bool = False, noise: float = 1.0
) -> ColourCamera:
    """A camera that exposes for this picture. `steady`: all its noise stays in place; `noise`: a factor on it."""
    # Automatic exposure brings the mean near middle grey, more or less.
    exposure = np.clip(rng.uniform(0.28, 0.55) / max(float(rgb.mean()) / 255.0, 0.02), 0.5, 4.0)
    gain = (exposure * rng.uniform(0.88, 1.12, 3)).astype(np.float32)
    gamma = float(rng.uniform(0.8, 1.25))
    blur = float(rng.uniform(0.3, 0.9)) if rng.random() < 0.6 else 0.0
    strength = noise * float(rng.uniform(0.004, 0.03))
    pattern = np.zeros(rgb.shape, np.float32)
    if steady:
        pattern = np.float32(min(strength, 0.01)) * rng.standard_normal(rgb.shape, dtype=np.float32)
        strength = 0.0
    return ColourCamera(gain, gamma, blur, pattern, strength)


def drawn_sensor(sensor: str, rng: np.random.Generator) -> str:
    """The kind of depth sensor itself, drawn where it is ``random``."""
    return SENSORS[int(rng.integers(len(SENSORS)))] if sensor == "random" else sensor
