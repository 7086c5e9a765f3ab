"""Lens distortion against OpenCV's, and the camera matrix that is right around one pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tiae_ros.streams.distortion import Distortion, camera_at
from tiae_ros.vision.position import metric_position

K = np.array([[600.0, 0.0, 640.0], [0.0, 610.0, 360.0], [0.0, 0.0, 1.0]])
LENSES = [
    ("plumb_bob", (0.12, -0.25, 0.001, -0.0007, 0.08)),
    ("rational_polynomial", (0.5, -2.6, 0.0007, -0.0002, 1.5, 0.4, -2.4, 1.4)),
    ("equidistant", (-0.02, 0.01, -0.004, 0.001)),
]
PIXELS = [(640.0, 360.0), (100.0, 60.0), (1270.0, 710.0), (900.0, 20.0)]


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_a_point_is_seen_where_opencv_sees_it_and_found_again(model, coefficients):
    distortion = Distortion(model, coefficients)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    for x_px, y_px in PIXELS:
        point = metric_position(x_px, y_px, 0.6, camera_at(K, distortion, x_px, y_px))
        arguments = (point.reshape(1, 1, 3), np.zeros(3), np.zeros(3), K, np.array(coefficients))
        seen = np.asarray(project(*arguments)[0]).ravel()
        np.testing.assert_allclose(seen, (x_px, y_px), atol=0.1)


def test_without_distortion_the_matrix_is_the_same():
    assert camera_at(K, None, 5.0, 5.0) is K
    np.testing.assert_allclose(camera_at(K, Distortion("plumb_bob", (0.0,)), 5.0, 5.0), K)


def test_what_no_lens_shows_has_no_position():
    wild = Distortion("plumb_bob", (-3.0, 0.0, 0.0, 0.0))  # nothing is seen beyond 0.22 of the focal length
    k = camera_at(K, wild, 1270.0, 700.0)
    assert np.isnan(k[0, 2])
    assert metric_position(1270.0, 700.0, 0.6, k) is None
    assert camera_at(K, Distortion("equidistant", (0.0,) * 4), 640.0 + 600 * 1.7, 360.0)[0, 2] != 640.0
