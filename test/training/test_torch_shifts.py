"""Shifts with gradients: below a pixel, and the same as those in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.model import shifts as in_numpy
from tiae_training.transforms import shifts as in_torch
from tiae_training.transforms.shifts import shift_images_subpixel

DOT = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]], dtype=torch.float32)[None, None]


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, 1), (-2, -1), (4, 0)])
def test_whole_subpixel_shifts_move_whole_pixels(shift):
    moved = shift_images_subpixel(DOT, torch.tensor([shift], dtype=torch.float32))
    torch.testing.assert_close(moved, in_torch.shift_images(DOT, torch.tensor([shift])))


def test_half_a_pixel_is_the_mean_of_neighbours():
    moved = shift_images_subpixel(DOT, torch.tensor([[0.5, 0.0]]))
    torch.testing.assert_close(moved[0, 0, 1], torch.tensor([0.0, 0.5, 1.5, 1.0]))


def test_subpixel_shifts_have_right_gradients():
    images = torch.rand(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    shifts = torch.tensor([[0.3, -0.7], [1.2, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shift_images_subpixel, (images, shifts))


def test_the_best_shift_lays_pattern_onto_image():
    torch.manual_seed(0)
    pattern = torch.zeros(3, 2, 16, 16)
    pattern[:, :, 5:11, 6:10] = torch.rand(3, 2, 6, 4)
    shifts = torch.tensor([[3, -2], [-4, 4], [0, 0]])
    found, cost = in_torch.best_shifts(pattern, in_torch.shift_images(pattern, shifts), radius=6)
    assert torch.equal(found, shifts)
    torch.testing.assert_close(cost, torch.zeros(3), atol=1e-4, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), radius=st.integers(1, 4), channels=st.integers(1, 3), size=st.integers(4, 9))
def test_numpy_and_torch_agree(seed, radius, channels, size):
    generator = torch.Generator().manual_seed(seed)
    patterns, images = torch.rand(2, 5, channels, size, size, generator=generator)
    shifts = in_torch.draw_shifts(5, radius, generator)
    moved = in_torch.shift_images(images, shifts)
    np.testing.assert_array_equal(in_numpy.shift_images(images.numpy(), shifts.numpy()), moved.numpy())
    for name in ("shift_costs", "best_shifts_subpixel"):
        found = getattr(in_numpy, name)(patterns.numpy(), moved.numpy(), radius)
        wanted = getattr(in_torch, name)(patterns, moved, radius)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("seed", [0, 1, 2**31])
@pytest.mark.parametrize("radius", [0, 1, 8, 100])
def test_seeds_draw_the_same_shifts(seed, radius):
    generator, rng = torch.Generator().manual_seed(seed), np.random.RandomState(seed)
    for count in (1, 7, 1000):
        drawn = in_numpy.draw_shifts(count, radius, rng)
        np.testing.assert_array_equal(drawn, in_torch.draw_shifts(count, radius, generator).numpy())
