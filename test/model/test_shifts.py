"""Shifts in numpy: hand-computed 4×4 cases first, then properties against the literal definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.model.shifts import best_shifts_subpixel, draw_shifts, shift_costs, shift_images

DOT = np.float32([[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]])[None, None]


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ((0, 0), [[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]]),
        ((1, 0), [[0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 3, 4], [0, 0, 0, 0]]),  # dx is to the right
        ((0, 1), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0]]),  # dy is down
        ((-2, -1), [[2, 0, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),  # what leaves is lost
        ((4, 0), [[0, 0, 0, 0]] * 4),
    ],
)
def test_shifts_move_right_and_down(shift, expected):
    moved = shift_images(DOT, np.array([shift]))
    np.testing.assert_array_equal(moved[0, 0], expected)
    assert moved.dtype == np.float32


def test_each_window_has_its_own_shift():
    pattern = np.zeros((3, 2, 16, 16), np.float32)
    pattern[:, :, 5:11, 6:10] = np.random.default_rng(0).random((3, 2, 6, 4))
    shifts = np.array([[3, -2], [-4, 4], [0, 0]])
    found = best_shifts_subpixel(pattern, shift_images(pattern, shifts), radius=6)
    np.testing.assert_allclose(found, shifts, atol=0.5)
    assert found.dtype == np.float32


def literal_costs(pattern: np.ndarray, image: np.ndarray, radius: int) -> np.ndarray:
    """‖P − T_{−s} I‖² on an enlarged canvas, shift by shift, as METHOD states it."""
    channels, height, width = pattern.shape
    pad = 2 * radius
    canvas = np.zeros((channels, height + 2 * pad, width + 2 * pad))
    canvas[:, pad : pad + height, pad : pad + width] = pattern
    costs = np.zeros((2 * radius + 1, 2 * radius + 1))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            moved = np.zeros_like(canvas)
            moved[:, pad - dy : pad - dy + height, pad - dx : pad - dx + width] = image
            costs[dy + radius, dx + radius] = ((canvas - moved) ** 2).sum()
    return costs


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), radius=st.integers(1, 4), channels=st.integers(1, 3), size=st.integers(4, 9))
def test_costs_are_those_of_the_literal_sum(seed, radius, channels, size):
    patterns, images = np.random.default_rng(seed).random((2, 3, channels, size, size)).astype(np.float32)
    costs = shift_costs(patterns, images, radius)
    for pattern, image, cost in zip(patterns, images, costs, strict=True):
        np.testing.assert_allclose(cost, literal_costs(pattern, image, radius), rtol=1e-4, atol=1e-3)


def test_leaving_the_window_is_never_free():
    """A pattern pushed out of the window costs its own energy and the image's: the escape of METHOD is closed."""
    cost = shift_costs(DOT, DOT, radius=4)[0]
    assert cost.argmin() == 4 * 9 + 4  # no shift is best
    assert cost[0, 0] == pytest.approx(2 * float(np.square(DOT).sum()))


@settings(max_examples=20, deadline=None)
@given(dx=st.floats(-2.5, 2.5), dy=st.floats(-2.5, 2.5))
def test_subpixel_shifts_are_found(dx, dy):
    axis = np.arange(24) - 11.5

    def blob(x, y):
        return np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 18).astype(np.float32)[None, None]

    found = best_shifts_subpixel(blob(0, 0), blob(dx, dy), radius=4)
    np.testing.assert_allclose(found, [[dx, dy]], atol=0.1)


def test_drawn_shifts_cover_the_range_evenly():
    shifts = draw_shifts(20_000, 2, np.random.RandomState(0))
    counts = np.bincount(shifts[:, 0] + 2)
    assert counts.shape == (5,)
    assert np.abs(counts - 4000).max() < 300
