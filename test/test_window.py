"""Windows: the convention by hand, then equivariance, then inputs that hold nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.vision.cut_windows import cut_depth, cut_grasp, cut_masks
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.position import metric_position
from tiae_ros.vision.window import Window, depth_from_window, image_to_window, window_camera, window_to_image

FOCAL = 300.0


def frame(height=240, width=320, depth=1.0):
    """Nothing labelled, a wall behind everything."""
    return np.zeros((height, width), np.uint8), np.full((height, width), depth, np.float32)


def fist_holding_a_bar(x=150, y=110):
    """A fist of 8 cm with a bar of 12 cm in it, at 0.5 m; (x, y) is the fist's top left corner."""
    labels, depth = frame()
    labels[y - 12 : y + 60, x + 20 : x + 30] = 2
    labels[y : y + 48, x : x + 48] = 1
    depth[labels > 0] = 0.5
    return labels, depth


def moved(image, dx, dy, fill):
    """The image moved by (dx, dy) pixels."""
    result = np.full_like(image, fill)
    height, width = image.shape[:2]
    result[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = image[
        max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)
    ]
    return result


# --- the convention


def test_the_window_of_a_whole_picture_is_the_picture():
    labels = np.zeros((4, 4), np.uint8)
    labels[1, 2], labels[3, 0] = 1, 2
    masks = cut_masks(labels, Window(1.5, 1.5, 4.0, 0.5), size=4)
    assert masks.dtype == np.float32
    np.testing.assert_array_equal(masks[0], labels == 1)
    np.testing.assert_array_equal(masks[1], labels == 2)


def test_a_coarser_window_averages_over_areas():
    labels = np.array([[1, 1, 0, 0], [1, 0, 0, 2], [0, 0, 2, 2], [0, 0, 2, 2]], np.uint8)
    masks = cut_masks(labels, Window(1.5, 1.5, 4.0, 0.5), size=2)
    np.testing.assert_allclose(masks[0], [[0.75, 0], [0, 0]])
    np.testing.assert_allclose(masks[1], [[0, 0.25], [0, 1]])


def test_areas_are_split_where_a_window_pixel_ends_inside_an_image_pixel():
    labels = np.array([[0, 1, 0]] * 3, np.uint8)
    # Two window pixels of 1.5 image pixels each: each holds half of the middle column.
    masks = cut_masks(labels, Window(1.0, 1.0, 3.0, 0.5), size=2)
    np.testing.assert_allclose(masks[0], np.full((2, 2), 1 / 3), rtol=1e-6)


def test_a_finer_window_interpolates():
    labels = np.array([[0, 1]] * 2, np.uint8)
    masks = cut_masks(labels, Window(0.5, 0.5, 1.0, 0.5), size=2)
    # Window pixel centres at x = 0.25 and 0.75.
    np.testing.assert_allclose(masks[0], [[0.25, 0.75]] * 2)


def test_outside_the_picture_is_nothing():
    labels = np.ones((4, 4), np.uint8)
    masks = cut_masks(labels, Window(-0.5, 1.5, 4.0, 0.5), size=4)
    np.testing.assert_array_equal(masks[0], [[0, 0, 1, 1]] * 4)
    assert not cut_masks(labels, Window(1000.0, 1.5, 4.0, 0.5), size=4).any()
    assert not cut_masks(labels, Window(1.5, -1000.0, 4.0, 0.5), size=4).any()


def test_window_coordinates_and_back():
    window = Window(100.0, 50.0, 64.0, 0.5)
    assert window_to_image(15.5, 15.5, window) == (100.0, 50.0)
    assert window_to_image(16.5, 14.5, window) == (102.0, 48.0)
    assert image_to_window(102.0, 48.0, window) == (16.5, 14.5)


def test_the_window_s_camera_sees_the_same_point():
    k = np.array([[500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1]])
    window = Window(200.0, 150.0, 160.0, 0.5)
    expected = metric_position(*window_to_image(3.0, 7.0, window), 0.5, k)
    np.testing.assert_allclose(metric_position(3.0, 7.0, 0.5, window_camera(k, window)), expected)


# --- depth values


def test_depth_values_by_hand():
    labels = np.array([[1, 1, 2, 0]], np.uint8)
    depth = np.array([[0.5, 0.35, 0.65, 0.5]], np.float32)
    values = cut_depth(depth, labels, Window(1.5, 0.0, 4.0, 0.5), size=4, range_m=0.30)
    assert values.shape == (1, 4, 4)
    assert values.dtype == np.float32
    # The picture is one pixel high, so it fills one of the four rows by half and its neighbour by half.
    np.testing.assert_allclose(values[0][1], [0.5, 1.0, 0.0, 0.0], atol=1e-6)


def test_depth_comes_back_in_metres():
    labels, depth = fist_holding_a_bar()
    window = find_windows(labels, depth, FOCAL)[0]
    values = cut_depth(depth, labels, window)
    metres = depth_from_window(values, window)
    seen = ~np.isnan(metres)
    assert seen.any()
    np.testing.assert_allclose(metres[seen], 0.5, atol=1e-6)
    np.testing.assert_array_equal(seen, values >= 0.15)


def test_depth_is_never_mixed_with_the_background():
    labels, depth = fist_holding_a_bar()
    depth[labels > 0] = 0.5
    window = Window(173.7, 133.3, 111.0, 0.5)
    values = cut_depth(depth, labels, window)
    assert set(np.round(np.unique(values), 5)) == {0.0, 0.5}


def test_holes_in_the_depth_are_filled_from_their_neighbours():
    labels, depth = fist_holding_a_bar()
    window = find_windows(labels, depth, FOCAL)[0]
    whole = cut_depth(depth, labels, window)
    depth[115:150, 155:190] = np.nan
    np.testing.assert_allclose(cut_depth(depth, labels, window), whole, atol=1e-6)


def test_background_that_leaks_over_an_edge_does_not_count():
    labels, depth = fist_holding_a_bar()
    window = find_windows(labels, depth, FOCAL)[0]
    whole = cut_depth(depth, labels, window)
    depth[110:158, 150] = 1.0
    np.testing.assert_allclose(cut_depth(depth, labels, window), whole, atol=1e-6)


def test_a_hand_without_any_reading_has_no_depth():
    labels, _ = fist_holding_a_bar()
    nothing = np.full(labels.shape, np.nan, np.float32)
    assert not cut_depth(nothing, labels, Window(170.0, 130.0, 100.0, 0.5)).any()
    assert find_windows(labels, nothing, FOCAL) == []


def test_cutting_all_at_once_gives_what_cutting_each_gives():
    labels, depth = fist_holding_a_bar()
    depth[115:150:2, 155:190] = np.nan
    for window in (Window(173.7, 133.3, 111.0, 0.5), Window(20.0, 400.0, 90.0, 0.5), Window(150.25, 90.5, 20.0, 0.4)):
        for size in (16, 33):
            parts = cut_masks(labels, window, size), cut_depth(depth, labels, window, size, 0.2)
            np.testing.assert_array_equal(cut_grasp(depth, labels, window, size, 0.2), np.concatenate(parts))


# --- finding


def test_a_window_lies_on_the_hand_and_has_its_metric_size():
    labels, depth = fist_holding_a_bar()
    (window,) = find_windows(labels, depth, FOCAL, metric_size_m=0.30)
    assert labels[round(window.center_y), round(window.center_x)] > 0
    assert window.depth_m == pytest.approx(0.5)
    assert window.side_px == pytest.approx(0.30 * FOCAL / 0.5)


def test_no_hand_no_window():
    labels, depth = frame()
    assert find_windows(labels, depth, FOCAL) == []
    labels[50:90, 50:90] = 2
    assert find_windows(labels, depth, FOCAL) == []


def test_specks_are_no_hands():
    labels, depth = frame(depth=0.5)
    labels[50:53, 50:53] = 1
    assert find_windows(labels, depth, FOCAL) == []


def test_two_hands_make_two_windows_the_nearer_first():
    labels, depth = frame()
    labels[50:90, 30:70], depth[50:90, 30:70] = 1, 0.7
    labels[50:110, 200:260], depth[50:110, 200:260] = 1, 0.4
    first, second = find_windows(labels, depth, FOCAL)
    assert first.depth_m < second.depth_m
    assert 200 <= first.center_x < 260
    assert 30 <= second.center_x < 70


def test_a_forearm_does_not_draw_the_window_away_from_the_hand():
    labels, depth = frame(depth=1.0)
    labels[120:156, 60:320] = 1  # arm and hand, 43 cm, entering from the right
    depth[120:156, 60:320] = 0.5
    (window,) = find_windows(labels, depth, FOCAL)
    assert 60 <= window.center_x <= 60 + 0.17 * FOCAL / 0.5
    assert 120 <= window.center_y < 156


def test_how_much_of_the_forearm_is_seen_does_not_matter():
    labels, depth = frame(depth=1.0)
    labels[120:156, 20:320] = 1
    labels[110:166, 20:60] = 1
    depth[labels > 0] = 0.5
    (window,) = find_windows(labels, depth, FOCAL)
    for dx in (20, 60, 120):
        (other,) = find_windows(moved(labels, dx, 0, 0), moved(depth, dx, 0, np.nan), FOCAL)
        assert other.center_x - window.center_x == dx
        assert other.side_px == window.side_px


def test_the_held_thing_tells_where_the_hand_is():
    labels, depth = frame(depth=1.0)
    labels[100:140, 0:320] = 1  # an arm across the whole picture
    labels[80:160, 150:160] = 2  # with a bar in the middle
    depth[labels > 0] = 0.5
    (window,) = find_windows(labels, depth, FOCAL)
    assert abs(window.center_x - 155) < 10


# --- equivariance


@settings(deadline=None, max_examples=60)
@given(dx=st.integers(-60, 60), dy=st.integers(-40, 40), seed=st.integers(0, 5))
def test_moving_the_picture_moves_the_window_and_nothing_else(dx, dy, seed):
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


@settings(deadline=None)
@given(x=st.floats(-500, 500), y=st.floats(-500, 500), side=st.floats(0.5, 2000), size=st.sampled_from([1, 16, 32, 33]))
def test_any_window_holds_values_in_range(x, y, side, size):
    labels, depth = fist_holding_a_bar()
    window = Window(x, y, side, 0.5)
    masks, values = cut_masks(labels, window, size), cut_depth(depth, labels, window, size)
    for array, channels in ((masks, 2), (values, 1)):
        assert array.shape == (channels, size, size)
        assert np.isfinite(array).all()
        assert array.min() >= 0
        assert array.max() <= 1


# --- what cannot be used


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


def test_an_impossible_window_is_refused():
    for values in ((np.nan, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, np.inf, 1)):
        with pytest.raises(ParameterError):
            Window(*values)
