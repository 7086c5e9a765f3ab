"""Depth beside colour is noticed: drawn boxes, the depth of which is moved."""

import numpy as np
import pytest

from tiae_ros.vision.registration import RegistrationCheck

WIDTH, HEIGHT = 320, 240


def boxes(seed: int, colored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Boxes before a wall: each has a colour and a depth of its own."""
    rng = np.random.default_rng(seed)
    color = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 1.5, np.float32)
    for _ in range(5):
        x, y, w, h = (int(rng.integers(low, high)) for low, high in ((30, 220), (30, 160), (25, 70), (25, 60)))
        if colored:
            color[y : y + h, x : x + w] = rng.integers(0, 255, 3)
        depth[y : y + h, x : x + w] = rng.uniform(0.5, 1.2)
    noise = rng.normal(0, 4, color.shape)
    return np.clip(color + noise, 0, 255).astype(np.uint8), depth


def moved(depth: np.ndarray, dx: int, dy: int) -> np.ndarray:
    result = np.full_like(depth, np.nan)
    result[max(0, dy) : HEIGHT + min(0, dy), max(0, dx) : WIDTH + min(0, dx)] = depth[
        max(0, -dy) : HEIGHT + min(0, -dy), max(0, -dx) : WIDTH + min(0, -dx)
    ]
    return result


def offset_of(dx: int, dy: int, pictures: int = 6, colored: bool = True) -> tuple[float, float] | None:
    check = RegistrationCheck()
    for seed in range(pictures):
        color, depth = boxes(seed, colored)
        check.add(color, moved(depth, dx, dy))
    return check.offset_px


@pytest.mark.parametrize(("dx", "dy"), [(12, 0), (-16, 0), (24, 4), (0, -14), (-20, 8)])
def test_the_offset_is_told(dx, dy):
    assert offset_of(dx, dy) == pytest.approx((dx, dy), abs=3)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (0, -2)])
def test_what_lies_on_it_has_none(dx, dy):
    assert offset_of(dx, dy) is None


def test_nothing_is_told_of_too_little():
    assert offset_of(24, 0, pictures=2) is None  # two pictures are chance
    assert offset_of(24, 0, colored=False) is None  # no edges in colour
    check = RegistrationCheck()
    for depth in (np.full((HEIGHT, WIDTH), np.nan, np.float32), np.ones((HEIGHT, WIDTH), np.float32)):
        for _ in range(5):
            check.add(np.zeros((HEIGHT, WIDTH, 3), np.uint8), depth)
    assert check.offset_px is None


def test_it_follows_a_change():
    check = RegistrationCheck()
    for seed in range(30):
        color, depth = boxes(seed)
        check.add(color, moved(depth, 16 if seed < 6 else 0, 0))
    assert check.offset_px is None  # registration was switched on
