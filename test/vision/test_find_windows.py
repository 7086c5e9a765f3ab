"""Windows on the hands of a frame: where they lie, that they move with the picture, frames that hold nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_frames import fist_holding_a_bar, moved, wall

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.vision.cut_windows import cut_depth, cut_masks
from tiae_ros.vision.find_windows import find_windows

FOCAL = 300.0


def test_a_window_has_its_metric_size():
    labels, depth = fist_holding_a_bar()
    (window,) = find_windows(labels, depth, FOCAL, metric_size_m=0.30)
    assert labels[round(window.center_y), round(window.center_x)] > 0
    assert window.depth_m == pytest.approx(0.5)
    assert window.side_px == pytest.approx(0.30 * FOCAL / 0.5)


def test_no_hand_no_window():
    labels, depth = wall()
    assert find_windows(labels, depth, FOCAL) == []
    labels[50:90, 50:90] = 2
    assert find_windows(labels, depth, FOCAL) == []


def test_specks_are_no_hands():
    labels, depth = wall(depth=0.5)
    labels[50:53, 50:53] = 1
    assert find_windows(labels, depth, FOCAL) == []


def test_of_two_hands_the_nearer_comes_first():
    labels, depth = wall()
    labels[50:90, 30:70], depth[50:90, 30:70] = 1, 0.7
    labels[50:110, 200:260], depth[50:110, 200:260] = 1, 0.4
    first, second = find_windows(labels, depth, FOCAL)
    assert first.depth_m < second.depth_m
    assert 200 <= first.center_x < 260
    assert 30 <= second.center_x < 70


def test_a_forearm_draws_no_window_away():
    labels, depth = wall(depth=1.0)
    labels[120:156, 60:320] = 1  # arm and hand, 43 cm, entering from the right
    depth[120:156, 60:320] = 0.5
    (window,) = find_windows(labels, depth, FOCAL)
    assert 60 <= window.center_x <= 60 + 0.17 * FOCAL / 0.5
    assert 120 <= window.center_y < 156


def test_how_much_forearm_shows_does_not_matter():
    labels, depth = wall(depth=1.0)
    labels[120:156, 20:320] = 1
    labels[110:166, 20:60] = 1
    depth[labels > 0] = 0.5
    (window,) = find_windows(labels, depth, FOCAL)
    for dx in (20, 60, 120):
        (other,) = find_windows(moved(labels, dx, 0, 0), moved(depth, dx, 0, np.nan), FOCAL)
        assert other.center_x - window.center_x == dx
        assert other.side_px == window.side_px


def test_the_held_thing_tells_where_the_hand_is():
    labels, depth = wall(depth=1.0)
    labels[100:140, 0:320] = 1  # an arm across the whole picture
    labels[80:160, 150:160] = 2  # with a bar in the middle
    depth[labels > 0] = 0.5
    (window,) = find_windows(labels, depth, FOCAL)
    assert abs(window.center_x - 155) < 10


@settings(deadline=None, max_examples=60)
@given(dx=st.integers(-60, 60), dy=st.integers(-40, 40), seed=st.integers(0, 5))
def test_moving_the_picture_moves_only_the_window(dx, dy, seed):
    labels, depth = fist_holding_a_bar()
    noise = np.random.default_rng(seed).normal(0, 0.004, depth.shape).astype(np.float32)
    depth = depth + noise
    depth[noise > 0.006] = np.nan
    (window,) = find_windows(labels, depth, FOCAL)
    labels_moved, depth_moved = moved(labels, dx, dy, 0), moved(depth, dx, dy, np.nan)
    (other,) = find_windows(labels_moved, depth_moved, FOCAL)
    assert (other.center_x - window.center_x, other.center_y - window.center_y) == (dx, dy)
    assert (other.side_px, other.depth_m) == (window.side_px, window.depth_m)
    np.testing.assert_array_equal(cut_masks(labels_moved, other), cut_masks(labels, window))
    np.testing.assert_array_equal(cut_depth(depth_moved, labels_moved, other), cut_depth(depth, labels, window))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0, 65.535])
def test_bad_depth_gives_no_bad_window(bad):
    labels, depth = fist_holding_a_bar()
    depth[::2] = bad
    for window in find_windows(labels, depth, FOCAL):
        assert window.depth_m > 0
        assert np.isfinite(cut_depth(depth, labels, window)).all()
    depth[:] = bad
    for window in find_windows(labels, depth, FOCAL):
        assert np.isfinite(cut_depth(depth, labels, window)).all()


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_picture_of_one_pixel(label):
    labels, depth = np.full((1, 1), label, np.uint8), np.full((1, 1), 0.5, np.float32)
    for window in find_windows(labels, depth, 10.0):
        assert cut_masks(labels, window).shape == (2, 32, 32)
        assert cut_depth(depth, labels, window).shape == (1, 32, 32)


def test_a_focal_length_is_needed():
    labels, depth = fist_holding_a_bar()
    for focal in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ParameterError, match="focal length"):
            find_windows(labels, depth, focal)


def test_sizes_must_agree():
    labels, depth = fist_holding_a_bar()
    with pytest.raises(ImageError, match=r"320x240.*320x239"):
        find_windows(labels, depth[:-1], FOCAL)
    with pytest.raises(ImageError, match="shapes"):
        find_windows(labels[0], depth, FOCAL)
