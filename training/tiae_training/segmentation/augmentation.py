"""A rendered frame as another camera would have seen it: zoom, roll, crop, another light, a worse depth sensor.

What makes a network ready for cameras it has not met (worse depth, colour beside it) also tells it that outlines are
vague; frames of `plain_share` are as sharp as the sensor makes them, of which `poor_depth_share` have a poor sensor's
depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import HAND
from tiae_ros.vision.segmentation.planes import input_planes
from tiae_training.data.poor_depth import block_matched, poor_depth, without_parts_of_the_hand
from tiae_training.segmentation.frames import FrameArrays
from tiae_training.segmentation.settings import SegmentationTraining


@dataclass(frozen=True)
class SeenFrame:
    """One frame as a camera saw it."""

    color: NDArray[np.uint8] | None  # (h, w, 3)
    depth_m: NDArray[np.float32]  # (h, w), 0 nothing
    labels: NDArray[np.uint8]  # (h, w)
    focal_px: float


def augmented(
    frames: FrameArrays, index: int, rng: np.random.Generator, settings: SegmentationTraining
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One frame as another camera would have seen it: planes (h, w, 9) and labels (h, w)."""
    seen = seen_by_another_camera(frames, index, rng, settings)
    return input_planes(seen.color, seen.depth_m, seen.focal_px), seen.labels


def seen_by_another_camera(
    frames: FrameArrays, index: int, rng: np.random.Generator, settings: SegmentationTraining
) -> SeenFrame:
    """One frame as another camera would have seen it."""
    size_px = settings.width, settings.height
    if settings.plain_share and rng.random() < settings.plain_share:
        return _as_rendered(frames, index, rng, settings)
    color, depth_mm, labels, zoom = _another_view(frames, index, rng, size_px)
    if settings.second_hand_share and rng.random() < settings.second_hand_share:
        other = int(rng.integers(len(frames)))
        second = _another_view(frames, other, rng, size_px)
        closer = (
            frames.focal_px[index] * zoom / (frames.focal_px[other] * second[3])
        )  # so that it is as large in metres
        _put_in_front((color, depth_mm, labels), second[0], second[1] * closer, second[2])
    depth = worse_depth(depth_mm.astype(np.float32) / 1000, rng)
    if settings.block_matcher_share and rng.random() < settings.block_matcher_share:
        depth = block_matched(depth, rng)
    if settings.hidden_hand_share and rng.random() < settings.hidden_hand_share:
        depth = without_parts_of_the_hand(depth, labels == HAND, rng)
    size = rng.uniform(0.9, 1.1)  # of the whole scene
    seen = None if rng.random() < settings.without_color_share else other_light(color, rng)
    return SeenFrame(seen, (depth * size).astype(np.float32), labels, float(frames.focal_px[index]) * zoom)


def _as_rendered(
    frames: FrameArrays, index: int, rng: np.random.Generator, settings: SegmentationTraining
) -> SeenFrame:
    """The sensor's own pixels, moved by whole ones: outlines are as sharp as they will be when it is used."""
    height, width = frames.labels.shape[1:]
    free = (settings.height - height, settings.width - width)
    top, left = (int(rng.integers(min(0, slack), max(0, slack) + 1)) for slack in free)
    step = -1 if rng.random() < 0.5 else 1
    moved = np.array([[1, 0, left], [0, 1, top]], np.float64)
    color, depth_mm, labels = (
        np.ascontiguousarray(
            cv2.warpAffine(picture[index], moved, (settings.width, settings.height), flags=cv2.INTER_NEAREST)[:, ::step]
        )
        for picture in (frames.color, frames.depth_mm, frames.labels)
    )
    depth = depth_mm.astype(np.float32) / 1000
    if settings.poor_depth_share and rng.random() < settings.poor_depth_share:
        depth = poor_depth(depth, labels == HAND, rng)
    elif rng.random() < settings.without_color_share:
        color = None
    if color is not None and rng.random() < 0.5:
        color = other_light(color, rng)
    return SeenFrame(color, depth, labels, float(frames.focal_px[index]))


def _another_view(
    frames: FrameArrays, index: int, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8], float]:
    """Zoom, roll, mirror, shift: depth along the optical axis stays what it was."""
    height, width = frames.labels.shape[1:]
    zoom = math.exp(rng.uniform(math.log(0.6), math.log(1.35)))
    roll = math.radians(float(rng.normal(0, 15)))
    if rng.random() < 0.15:
        roll = rng.uniform(-math.pi, math.pi)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    target = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    slack = np.maximum(np.abs(zoom * middle - target), 8) + 8
    target = target + rng.uniform(-1, 1, 2) * slack
    turn = zoom * np.array([[mirror * math.cos(roll), -mirror * math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    matrix = np.hstack([turn, (target - turn @ middle)[:, None]])
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.6 else cv2.BORDER_CONSTANT
    empty = tuple(rng.integers(0, 256, 3).tolist())
    color = cv2.warpAffine(frames.color[index], matrix, size, borderMode=border, borderValue=empty)
    depth = cv2.warpAffine(frames.depth_mm[index], matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    labels = cv2.warpAffine(frames.labels[index], matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    return color, depth, labels, zoom


def _put_in_front(
    onto: tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8]],
    color: NDArray[np.uint8],
    depth_mm: NDArray[np.float64],
    labels: NDArray[np.uint8],
) -> None:
    """Put hand and held thing of another picture into one, where they are not behind what is there."""
    shown = (labels > 0) & ((depth_mm == 0) | (onto[1] == 0) | (depth_mm < onto[1]))
    for target, source in zip(onto, (color, depth_mm, labels), strict=True):
        target[shown] = source[shown]


def other_light(color: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another white balance, saturation, exposure, tone curve, blur and noise.

    Mostly as cameras differ, so that skin stays a hint; every third picture far beyond, so that it is only a hint.
    """
    far = 1.0 if rng.random() < 0.35 else 0.35
    gains = np.diag(np.exp(rng.normal(0, 0.13 * far, 3)))
    grey = np.full((3, 3), 1 / 3)
    saturation = 1.0 + far * rng.uniform(-0.7, 0.2)
    mixing = gains @ (saturation * np.eye(3) + (1 - saturation) * grey) + rng.normal(0, 0.03 * far, (3, 3))
    mixing *= math.exp(rng.normal(0, 0.25 * far))
    changed = cv2.transform(color, mixing)
    tone = np.linspace(0, 1, 256) ** math.exp(rng.normal(0, 0.35 * far))
    changed = cv2.LUT(changed, np.clip(tone * 255, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        changed = cv2.blur(changed, (3, 3))
    if rng.random() < 0.5:
        noise = rng.integers(-12, 13, changed.shape, np.int16)
        changed = np.clip(changed + noise, 0, 255).astype(np.uint8)
    return changed


def worse_depth(depth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Smoothed as matchers do, fattened, beside the colour, cut off, with ragged holes (more at steps)."""
    shape = depth.shape
    if rng.random() < 0.5:
        side = int(rng.choice([3, 5, 7]))
        near = np.where(depth > 0, depth, np.float32(99))
        if rng.random() < 0.5:  # the nearer surface spreads
            near = cv2.erode(near, np.ones((3, 3), np.uint8))
            near = np.where(near < 99, near, np.float32(99))
        known = (near < 99).astype(np.float32)
        # A mean over what is on about the same surface as the nearest around.
        front = cv2.erode(near, np.ones((side, side), np.uint8))
        same = ((near < front + 0.04) & (near < 99)).astype(np.float32)
        total, count = cv2.blur(near * same, (side, side)), cv2.blur(same, (side, side))
        smooth = total / np.maximum(count, 1e-6)
        depth = np.where((known > 0) & (np.abs(smooth - near) < 0.04), smooth, near * known).astype(np.float32)
    if rng.random() < 0.3:
        depth = cv2.warpAffine(
            depth, np.float32([[1, 0, rng.uniform(-2, 2)], [0, 1, rng.uniform(-1, 1)]]), shape[::-1],
            flags=cv2.INTER_NEAREST,
        )  # fmt: skip
    if rng.random() < 0.6:
        steps = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0.03
        reach = int(rng.choice([3, 5, 7, 9]))
        ragged = cv2.resize(
            rng.random((shape[0] // 4, shape[1] // 4), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        ragged += rng.random(shape, np.float32) * 0.3
        anchor = (int(rng.integers(0, reach)), reach // 2)  # shadows lie to one side
        beside = cv2.dilate(steps.astype(np.uint8), np.ones((reach, reach), np.uint8), anchor=anchor) > 0
        anywhere = rng.uniform(-0.3, 0.25)
        depth[(ragged < anywhere) | (beside & (ragged < rng.uniform(0.2, 1.1)))] = 0
    for _ in range(int(rng.integers(0, 3))):
        middle = (int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0])))
        axes = (int(rng.integers(1, shape[1] // 8)), int(rng.integers(1, shape[0] // 8)))
        depth = cv2.ellipse(np.ascontiguousarray(depth), middle, axes, float(rng.uniform(0, 180)), 0, 360, 0, -1)
    if rng.random() < 0.15:
        depth = np.where(depth < rng.uniform(0.6, 1.5), depth, np.float32(0))
    return depth
