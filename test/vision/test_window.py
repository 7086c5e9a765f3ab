"""A window's coordinates, its camera, and metres from its values."""

import numpy as np
import pytest
from labelled_frames import fist_holding_a_bar

from tiae_ros.errors import ParameterError
from tiae_ros.vision.cut_windows import cut_depth
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.position import metric_position
from tiae_ros.vision.window import Window, depth_from_window, image_to_window, window_camera, window_to_image

FOCAL = 300.0


def test_window_coordinates_and_back():
    window = Window(100.0, 50.0, 64.0, 0.5)
    assert window_to_image(15.5, 15.5, window) == (100.0, 50.0)
    assert window_to_image(16.5, 14.5, window) == (102.0, 48.0)
    assert image_to_window(102.0, 48.0, window) == (16.5, 14.5)


def test_the_windows_camera_sees_the_same_point():
    k = np.array([[500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1]])
    window = Window(200.0, 150.0, 160.0, 0.5)
    expected = metric_position(*window_to_image(3.0, 7.0, window), 0.5, k)
    np.testing.assert_allclose(metric_position(3.0, 7.0, 0.5, window_camera(k, window)), expected)


def test_depth_comes_back_in_metres():
    labels, depth = fist_holding_a_bar()
    window = find_windows(labels, depth, FOCAL)[0]
    values = cut_depth(depth, labels, window)
    metres = depth_from_window(values, window)
    seen = ~np.isnan(metres)
    assert seen.any()
    np.testing.assert_allclose(metres[seen], 0.5, atol=1e-6)
    np.testing.assert_array_equal(seen, values >= 0.15)


def test_an_impossible_window_is_refused():
    for values in ((np.nan, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, np.inf, 1)):
        with pytest.raises(ParameterError):
            Window(*values)
