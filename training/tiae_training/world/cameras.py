"""What real cameras make of a clean picture: four families of depth sensors; colour in many lights, dark, blurred.

Structured light and active stereo are those of `simulator.sensor_noise`. Passive stereo matches windows of many
pixels: edges grow, plain surfaces have no depth. Time of flight mixes what lies behind an edge into it (flying pixels)
and loses dark surfaces.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator import sensor_noise

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
FAMILIES = ("structured_light", "stereo", "passive_stereo", "time_of_flight")
MOST_WIDTH, MOST_HEIGHT = 1600, 1200
_NOISE = np.random.default_rng(5).standard_normal((MOST_HEIGHT, MOST_WIDTH), dtype=np.float32)


def depth_picture(
    clean_m: Floats, rgb: Picture, focal_px: float, family: str, rng: np.random.Generator, max_depth_m: float = 6.0
) -> Floats:
    """(H, W) metres, NaN nothing, as a sensor of this family reads `clean_m`; made at half the size."""
    small = cv2.resize(clean_m, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
    gray = cv2.cvtColor(cv2.resize(rgb, small.shape[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    if family in sensor_noise.SENSORS:
        dark = cv2.blur(gray, (5, 5)) < 22
        faults = sensor_noise.DepthFaults(*rng.uniform(0.3, 1.6, 4))
        read = sensor_noise.add_depth_noise(
            small, focal_px / 2, family, rng, dark=dark, faults=faults, max_depth_m=max_depth_m
        )
    elif family == "passive_stereo":
        read = _passive_stereo(small, gray, focal_px / 2, rng)
    else:
        read = _time_of_flight(small, gray, rng)
    read[read > max_depth_m] = np.nan
    return cv2.resize(read, clean_m.shape[::-1], interpolation=cv2.INTER_NEAREST)


def _field(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> Floats:
    """Smooth noise 0..1 with so many pixels to a cell."""
    low = rng.random((shape[0] // cells + 2, shape[1] // cells + 2), dtype=np.float32)
    return cv2.resize(low, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _passive_stereo(depth: Floats, gray: Picture, focal: float, rng: np.random.Generator) -> Floats:
    disparity = focal * rng.uniform(0.06, 0.14) / np.maximum(depth, 0.1)
    window = int(rng.integers(2, 6)) * 2 + 1
    grown = cv2.dilate(disparity, np.ones((window // 2 + 1,) * 2, np.uint8))
    matched = cv2.blur(
        np.where(_field(depth.shape, 12, rng) < rng.uniform(0.2, 0.8), grown, disparity), (window, window)
    )
    blocks = cv2.resize(
        rng.standard_normal((depth.shape[0] // 4 + 1, depth.shape[1] // 4 + 1), dtype=np.float32), depth.shape[::-1]
    )
    noisy = matched + np.float32(rng.uniform(0.05, 0.3)) * blocks
    result = disparity * depth / np.maximum(noisy, 0.05)
    texture = cv2.blur(np.abs(cv2.Laplacian(gray, cv2.CV_32F)), (9, 9))
    plain = texture < np.quantile(texture, rng.uniform(0.0, 0.4))
    holes = plain & (_field(depth.shape, int(rng.integers(4, 16)), rng) < rng.uniform(0.2, 0.8))
    edges = cv2.morphologyEx(disparity, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0.6
    holes |= cv2.dilate(edges.astype(np.uint8), np.ones((window // 2,) * 2, np.uint8)).astype(bool) & (
        _field(depth.shape, 5, rng) < rng.uniform(0.2, 0.7)
    )
    result[holes] = np.nan
    return result.astype(np.float32)


def _time_of_flight(depth: Floats, gray: Picture, rng: np.random.Generator) -> Floats:
    near = cv2.blur(depth, (3, 3))
    edge = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0.03
    mixed = np.where(edge & (_field(depth.shape, 2, rng) < rng.uniform(0.3, 0.9)), near, depth)
    dark = 1 - gray.astype(np.float32) / 255
    deviation = (0.0015 + 0.002 * depth) * (0.5 + 3 * dark**3)
    noise = _rolled(depth.shape, rng)
    result = mixed + deviation * noise
    lost = (dark > rng.uniform(0.85, 1.0)) & (_field(depth.shape, 6, rng) < 0.7)
    lost |= edge & (_field(depth.shape, 3, rng) < rng.uniform(0, 0.5))
    result[lost] = np.nan
    return result.astype(np.float32)


def _rolled(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    top, left = int(rng.integers(MOST_HEIGHT - shape[0] + 1)), int(rng.integers(MOST_WIDTH - shape[1] + 1))
    return _NOISE[top : top + shape[0], left : left + shape[1]]


def color_picture(rgb: Picture, rng: np.random.Generator) -> Picture:
    """As a colour camera takes it: exposure, white balance, gamma, blur by focus and motion, noise."""
    kind = rng.random()
    wanted = rng.uniform(0.28, 0.55)
    if kind < 0.10:
        wanted = rng.uniform(0.65, 1.1)  # bleached
    elif kind < 0.20:
        wanted = rng.uniform(0.08, 0.2)  # dark
    exposure = float(np.clip(wanted / max(float(rgb.mean()) / 255, 0.02), 0.3, 6.0))
    gains = exposure * rng.uniform(0.85, 1.15, 3)
    gamma = rng.uniform(0.75, 1.3)
    if rng.random() < 0.07:
        gains *= rng.uniform(0.5, 1.5, 3)  # a wrong white balance
    steps = np.arange(256) / 255
    table = np.stack([np.clip(steps * gain, 0, 1) ** gamma for gain in gains], axis=1) * 255
    result = cv2.LUT(rgb, (table + 0.5).astype(np.uint8)[None])
    if rng.random() < 0.15:  # something moved
        length = int(rng.integers(3, 18))
        kernel = np.zeros((length, length), np.float32)
        turn = rng.uniform(0, np.pi)
        way = np.array([np.cos(turn), np.sin(turn)]) * length / 2
        middle = np.array([length, length]) / 2
        cv2.line(kernel, tuple((middle - way).astype(int).tolist()), tuple((middle + way).astype(int).tolist()), 1.0)
        result = cv2.filter2D(result, -1, kernel / max(kernel.sum(), 1e-6))
    elif rng.random() < 0.7:
        result = cv2.GaussianBlur(result, (0, 0), float(rng.uniform(0.4, 1.4)))
    strength = np.float32(rng.uniform(0.5, 9.0) * (1.6 if kind < 0.2 else 1.0))
    noise = np.stack([_rolled(rgb.shape[:2], rng) for _ in range(3)], axis=2) * strength
    if rng.random() < 0.4:
        noise = cv2.blur(noise, (2, 2)) * 1.6
    result = np.clip(result + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(35, 95))
        result = cv2.imdecode(cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    if rng.random() < 0.04:
        result = np.repeat(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return np.ascontiguousarray(result)


def unregistered(depth_m: Floats, rng: np.random.Generator, largest_px: float) -> tuple[Floats, tuple[int, int]]:
    """Depth that lies beside the colour, and by how much (x, y) pixels."""
    length, turn = rng.uniform(0.2, 1.0) * largest_px, rng.uniform(0, 2 * np.pi)
    dx, dy = int(length * np.cos(turn)), int(0.4 * length * np.sin(turn))
    moved = np.full_like(depth_m, np.nan)
    height, width = depth_m.shape
    moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = depth_m[
        max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)
    ]
    return moved, (dx, dy)
