"""Hands in detail: where they are cut, how fine, turned to have the arm below, and from what is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.errors import DataError
from tiae_ros.vision.cut_windows import cut_grasp
from tiae_ros.vision.detail import DETAIL_PX, STORED_PX, arm_angles, bring, cut_details, cut_stored, turns_of
from tiae_ros.vision.window import Window

WINDOW = Window(150.0, 110.0, 128.0, 0.6)  # four image pixels to one of 32; a detail's pixel is 1.5 of the image
DOWN = np.array([np.pi / 2], np.float32)  # an arm that is below already
NONE = np.zeros((1, 2), np.float32)


def picture() -> tuple[np.ndarray, np.ndarray]:
    """Depth and labels: a hand of 30 x 12 pixels around (150, 110), a thing beside it."""
    labels = np.zeros((240, 320), np.uint8)
    labels[104:116, 135:165] = 1
    labels[104:116, 165:171] = 2
    return np.where(labels > 0, 0.55, 1.5).astype(np.float32), labels


def middle_of(plane: np.ndarray) -> tuple[float, float]:
    """Of mass, from the plane's middle: right, down."""
    ys, xs = np.nonzero(plane)
    return tuple(np.average(places, weights=plane[ys, xs]) - (len(plane) - 1) / 2 for places in (xs, ys))


def test_a_hand_lies_in_the_middle_in_pixels_of_three_eighths_of_a_windows():
    depth, labels = picture()
    stored = cut_stored(depth, labels, WINDOW)
    assert stored.shape == (3, STORED_PX, STORED_PX)
    hand, thing, surface = bring(stored[None], NONE, DOWN)[0]
    assert hand.shape == (DETAIL_PX, DETAIL_PX)
    assert hand.sum() == pytest.approx(30 * 12 / 1.5**2)  # areas are kept
    assert thing.sum() == pytest.approx(6 * 12 / 1.5**2)
    # Image pixels lie at whole numbers: 135 to 164 have their middle at 149.5.
    assert middle_of(hand) == pytest.approx((-0.5 / 1.5, -0.5 / 1.5), abs=1e-4)
    np.testing.assert_allclose(surface[hand > 0.9], 1 - (0.55 - 0.45) / 0.3, atol=1e-5)


def test_a_shift_brings_what_lies_there_to_the_middle():
    depth, labels = picture()
    moved = cut_stored(np.roll(depth, (8, 16), (0, 1)), np.roll(labels, (8, 16), (0, 1)), WINDOW, (4.0, 2.0))
    np.testing.assert_allclose(moved, cut_stored(depth, labels, WINDOW), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(-8, 8), st.integers(-8, 8), st.floats(-3.1, 3.1))
def test_pictures_and_what_is_stored_of_them_show_the_same(dx, dy, angle):
    depth, labels = picture()
    shift = np.array([[dx, dy]], np.float32) * 3 / 8  # whole pixels of a detail
    stored = np.rint(255 * cut_stored(depth, labels, WINDOW)).astype(np.uint8)
    at_once = cut_stored(depth, labels, WINDOW, shift[0])
    angles = np.array([angle], np.float32)
    one, other = bring(stored[None], shift, angles), bring(at_once[None], NONE, angles)
    assert np.abs(one - other).max() < 0.02


@pytest.mark.parametrize("degrees", [-170, -90, -20, 0, 45, 90, 135])
def test_the_arm_comes_to_lie_below(degrees):
    window = np.zeros((1, 3, 32, 32), np.float32)
    place, way = np.array([3.0, -2.0]), np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    for step in np.arange(-4, 16, 0.25):  # a hand, and more of its arm
        x, y = np.rint(15.5 + place + step * way).astype(int)
        if 0 <= x < 32 and 0 <= y < 32:
            window[0, 0, y, x] = 1.0
    shifts = place[None].astype(np.float32)
    angle = arm_angles(window, shifts)
    off = np.angle(np.exp(1j * (angle[0] - np.radians(degrees))))
    assert abs(np.degrees(off)) < 6
    below = turns_of(angle)[0].T @ way  # from the window to what is seen
    assert below == pytest.approx((0, 1), abs=0.12)
    fine = np.zeros((1, 3, STORED_PX, STORED_PX), np.float32)
    at = np.rint(39.5 + (place + 8 * way) * 8 / 3).astype(int)
    fine[0, 0, at[1] - 1 : at[1] + 2, at[0] - 1 : at[0] + 2] = 1.0
    assert middle_of(bring(fine, shifts, angle)[0, 0]) == pytest.approx((0, 8 * 8 / 3), abs=3.0)


def test_what_is_cut_for_the_network_has_its_arm_below():
    depth, labels = picture()
    labels[106:114, 60:135] = 1  # an arm from the left
    depth[labels > 0] = 0.55
    seen = cut_grasp(depth, labels, WINDOW, 32)[None]
    hand = cut_details(depth, labels, [WINDOW], seen, NONE, 0.3)[0, 0]
    assert hand[40:, 26:38].mean() > 0.4
    assert hand[:20].mean() < 0.05
    assert cut_details(depth, labels, [], seen[:0], NONE[:0], 0.3).shape == (0, 3, DETAIL_PX, DETAIL_PX)


def test_beyond_the_margin_there_is_nothing():
    stored = np.full((3, 3, STORED_PX, STORED_PX), 255, np.uint8)
    middles = np.array([[1000.0, 0.0], [-6.0, 0.0], [0.0, 6.0]], np.float32)
    found = bring(stored, middles, np.repeat(DOWN, 3))
    assert found[0].sum() == 0
    np.testing.assert_array_equal(found[1, 0].sum(0) > 0, np.arange(DETAIL_PX) >= 8)
    np.testing.assert_array_equal(found[2, 0].sum(1) > 0, np.arange(DETAIL_PX) < DETAIL_PX - 8)
    assert found[1:].max() == 1.0


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 2, 80, 80), (1, 3, 80, 80)])
def test_others_are_refused(shape):
    with pytest.raises(DataError, match=r"details have shape .*, with 2 middles and 2 angles; accepted are \(N, 3, 80"):
        bring(np.zeros(shape, np.uint8), np.zeros((2, 2), np.float32), np.zeros(2, np.float32))
