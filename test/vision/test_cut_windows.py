"""What lies in a window: shares and depth by hand, and that they move with the picture."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_frames import fist_holding_a_bar

from tiae_ros.vision.cut_windows import cut_depth, cut_grasp, cut_masks
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.window import Window

FOCAL = 300.0


def test_a_window_of_the_whole_picture():
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


def test_areas_are_split_inside_an_image_pixel():
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


def test_depth_values_by_hand():
    labels = np.array([[1, 1, 2, 0]], np.uint8)
    depth = np.array([[0.5, 0.35, 0.65, 0.5]], np.float32)
    values = cut_depth(depth, labels, Window(1.5, 0.0, 4.0, 0.5), size=4, range_m=0.30)
    assert values.shape == (1, 4, 4)
    assert values.dtype == np.float32
    # The picture is one pixel high, so it fills one of the four rows by half and its neighbour by half.
    np.testing.assert_allclose(values[0][1], [0.5, 1.0, 0.0, 0.0], atol=1e-6)


def test_depth_is_never_mixed_with_the_background():
    labels, depth = fist_holding_a_bar()
    depth[labels > 0] = 0.5
    window = Window(173.7, 133.3, 111.0, 0.5)
    values = cut_depth(depth, labels, window)
    assert set(np.round(np.unique(values), 5)) == {0.0, 0.5}


def test_holes_are_filled_from_their_neighbours():
    labels, depth = fist_holding_a_bar()
    window = find_windows(labels, depth, FOCAL)[0]
    whole = cut_depth(depth, labels, window)
    depth[115:150, 155:190] = np.nan
    np.testing.assert_allclose(cut_depth(depth, labels, window), whole, atol=1e-6)


def test_background_that_leaks_does_not_count():
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


def test_cutting_all_at_once_gives_the_same():
    labels, depth = fist_holding_a_bar()
    depth[115:150:2, 155:190] = np.nan
    for window in (Window(173.7, 133.3, 111.0, 0.5), Window(20.0, 400.0, 90.0, 0.5), Window(150.25, 90.5, 20.0, 0.4)):
        for size in (16, 33):
            parts = cut_masks(labels, window, size), cut_depth(depth, labels, window, size, 0.2)
            np.testing.assert_array_equal(cut_grasp(depth, labels, window, size, 0.2), np.concatenate(parts))


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
