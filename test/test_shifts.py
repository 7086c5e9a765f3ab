"""Shifts: hand-computed 4×4 cases first, then properties against the literal definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_training.transforms.shifts import (
    best_shifts,
    best_shifts_subpixel,
    draw_shifts,
    shift_costs,
    shift_images,
    shift_images_subpixel,
)

DOT = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]], dtype=torch.float32)[None, None]


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
def test_shift_moves_right_and_down_and_fills_with_zero(shift, expected):
    expected = torch.tensor(expected, dtype=torch.float32)[None, None]
    assert torch.equal(shift_images(DOT, torch.tensor([shift])), expected)
    torch.testing.assert_close(shift_images_subpixel(DOT, torch.tensor([shift], dtype=torch.float32)), expected)


def test_half_a_pixel_is_the_mean_of_neighbours():
    moved = shift_images_subpixel(DOT, torch.tensor([[0.5, 0.0]]))
    torch.testing.assert_close(moved[0, 0, 1], torch.tensor([0.0, 0.5, 1.5, 1.0]))


def test_subpixel_shift_has_right_gradients():
    images = torch.rand(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    shifts = torch.tensor([[0.3, -0.7], [1.2, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shift_images_subpixel, (images, shifts))


def test_best_shift_is_the_one_that_moves_the_pattern_onto_the_image():
    torch.manual_seed(0)
    pattern = torch.zeros(3, 2, 16, 16)
    pattern[:, :, 5:11, 6:10] = torch.rand(3, 2, 6, 4)
    shifts = torch.tensor([[3, -2], [-4, 4], [0, 0]])
    found, cost = best_shifts(pattern, shift_images(pattern, shifts), radius=6)
    assert torch.equal(found, shifts)
    torch.testing.assert_close(cost, torch.zeros(3), atol=1e-4, rtol=0)


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
    rng = np.random.default_rng(seed)
    patterns, images = rng.random((2, 3, channels, size, size)).astype(np.float32)
    costs = shift_costs(torch.from_numpy(patterns), torch.from_numpy(images), radius).numpy()
    for pattern, image, cost in zip(patterns, images, costs, strict=True):
        np.testing.assert_allclose(cost, literal_costs(pattern, image, radius), rtol=1e-4, atol=1e-3)


def test_leaving_the_window_is_never_free():
    """A pattern pushed out of the window costs its own energy and the image's: the escape of METHOD is closed."""
    cost = shift_costs(DOT, DOT, radius=4)[0]
    assert cost.argmin() == 4 * 9 + 4  # no shift is best
    assert cost[0, 0] == pytest.approx(2 * float(DOT.square().sum()))


@settings(max_examples=20, deadline=None)
@given(dx=st.floats(-2.5, 2.5), dy=st.floats(-2.5, 2.5))
def test_subpixel_shift_is_found(dx, dy):
    axis = torch.arange(24) - 11.5
    blob = torch.exp(-(axis[None, :].square() + axis[:, None].square()) / 18.0)[None, None]
    found = best_shifts_subpixel(blob, shift_images_subpixel(blob, torch.tensor([[dx, dy]])), radius=4)
    torch.testing.assert_close(found, torch.tensor([[dx, dy]]), atol=0.1, rtol=0)


def test_drawn_shifts_cover_the_range_evenly():
    shifts = draw_shifts(20_000, 2, torch.Generator().manual_seed(0))
    counts = torch.bincount(shifts[:, 0] + 2)
    assert counts.shape == (5,)
    assert (counts - 4000).abs().max() < 300
