"""Hands in detail: where they are cut, how fine, and from what is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.errors import DataError
from tiae_ros.vision.detail import DETAIL_PX, STORED_PX, crop, cut_detail, cut_details, whole_pixels
from tiae_ros.vision.window import Window

WINDOW = Window(150.0, 110.0, 128.0, 0.6)  # four image pixels to one of 32; a detail's pixel is 1.5 of the image


def picture() -> tuple[np.ndarray, np.ndarray]:
    """Depth and labels: a hand of 30 x 12 pixels around (150, 110), a thing beside it."""
    labels = np.zeros((240, 320), np.uint8)
    labels[104:116, 135:165] = 1
    labels[104:116, 165:171] = 2
    return np.where(labels > 0, 0.55, 1.5).astype(np.float32), labels


def test_a_hand_lies_in_the_middle_in_pixels_of_three_eighths_of_a_windows():
    depth, labels = picture()
    hand, thing, surface = cut_detail(depth, labels, WINDOW)
    assert hand.shape == (DETAIL_PX, DETAIL_PX)
    assert hand.sum() == pytest.approx(30 * 12 / 1.5**2)  # areas are kept
    assert thing.sum() == pytest.approx(6 * 12 / 1.5**2)
    ys, xs = np.nonzero(hand)
    # Image pixels lie at whole numbers: 135 to 164 have their middle at 149.5.
    assert (np.average(ys, weights=hand[ys, xs]), np.average(xs, weights=hand[ys, xs])) == pytest.approx(
        (31.5 - 0.5 / 1.5, 31.5 - 0.5 / 1.5), abs=1e-4
    )
    np.testing.assert_allclose(surface[hand > 0.9], 1 - (0.55 - 0.45) / 0.3, atol=1e-5)


def test_a_shift_brings_what_lies_there_to_the_middle():
    depth, labels = picture()
    moved = cut_detail(np.roll(depth, (8, 16), (0, 1)), np.roll(labels, (8, 16), (0, 1)), WINDOW, (4.0, 2.0))
    np.testing.assert_allclose(moved, cut_detail(depth, labels, WINDOW), atol=1e-6)


def test_of_a_stored_one_the_middle_is_the_detail():
    depth, labels = picture()
    stored = np.rint(255 * cut_detail(depth, labels, WINDOW, size=STORED_PX)).astype(np.uint8)
    found = crop(stored[None], np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(found[0], cut_detail(depth, labels, WINDOW), atol=0.5 / 255 + 1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(-8, 8), st.integers(-8, 8))
def test_whole_pixels_of_a_shift_are_cut_alike_from_pictures_and_from_what_is_stored(dx, dy):
    depth, labels = picture()
    shift = np.array([[dx, dy]], np.float32) * 24 / 64  # whole pixels of a detail
    stored = np.rint(255 * cut_detail(depth, labels, WINDOW, size=STORED_PX)).astype(np.uint8)
    np.testing.assert_array_equal(whole_pixels(shift), [[dx, dy]])
    cut = cut_details(depth, labels, [WINDOW], shift, 32, 0.3)
    np.testing.assert_allclose(crop(stored[None], shift), cut, atol=0.5 / 255 + 1e-5)


def test_beyond_the_margin_there_is_nothing():
    stored = np.full((3, 3, STORED_PX, STORED_PX), 255, np.uint8)
    found = crop(stored, np.array([[1000.0, 0.0], [-6.0, 0.0], [0.0, 6.0]], np.float32))
    assert found[0].sum() == 0
    np.testing.assert_array_equal(found[1, 0].sum(0) > 0, np.arange(DETAIL_PX) >= 8)
    np.testing.assert_array_equal(found[2, 0].sum(1) > 0, np.arange(DETAIL_PX) < DETAIL_PX - 8)


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 2, 80, 80), (1, 3, 80, 80)])
def test_others_are_refused(shape):
    with pytest.raises(DataError, match=r"details have shape .*, with 2 shifts; accepted are \(N, 3, 80, 80\)"):
        crop(np.zeros(shape, np.uint8), np.zeros((2, 2), np.float32))
