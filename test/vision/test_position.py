"""Pixels to metres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiae_ros.vision.position import metric_position

K = np.array([[500.0, 0.0, 319.5], [0.0, 400.0, 239.5], [0.0, 0.0, 1.0]])


def test_the_principal_point_lies_straight_ahead():
    np.testing.assert_allclose(metric_position(319.5, 239.5, 0.6, K), [0, 0, 0.6])


def test_right_and_down_are_positive():
    np.testing.assert_allclose(metric_position(319.5 + 50, 239.5 + 80, 0.5, K), [0.05, 0.1, 0.5])


def test_a_camera_infos_nine_values_are_taken():
    np.testing.assert_allclose(metric_position(369.5, 239.5, 0.5, K.ravel()), [0.05, 0, 0.5])


@pytest.mark.parametrize("k", [np.zeros(9), np.full((3, 3), np.nan), np.ones(12)])
def test_an_uncalibrated_camera_has_no_metres(k):
    assert metric_position(1.0, 2.0, 0.5, k) is None


@pytest.mark.parametrize("depth", [0.0, -1.0, np.nan, np.inf])
def test_no_depth_no_position(depth):
    assert metric_position(1.0, 2.0, depth, K) is None


@given(
    point=st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.1, 5)),
    focal=st.floats(100, 2000),
)
def test_a_projected_point_comes_back(point, focal):
    k = np.array([[focal, 0, 320.0], [0, focal * 1.1, 240.0], [0, 0, 1.0]])
    u, v, w = k @ np.array(point)
    np.testing.assert_allclose(metric_position(u / w, v / w, point[2], k), point, atol=1e-9)
