"""Depth in another unit than it should be is noticed, and its likely cause named."""

from __future__ import annotations

import numpy as np
import pytest

from tiae_ros.streams.depth_units import question_unit
from tiae_ros.streams.image_decoding import to_depth_m

SCENE_M = np.full((240, 320), 0.9, np.float32)
SCENE_M[80:160, 100:200] = 0.45
SCENE_M[:, :20] = np.nan


def test_depth_in_the_right_unit_is_not_questioned():
    for encoding in ("16UC1", "32FC1", "16UC1; compressedDepth png"):
        assert question_unit(SCENE_M, encoding, depth_max_m=1.5) is None
    assert question_unit(np.full((9, 9), np.nan, np.float32), "16UC1", depth_max_m=1.5) is None


@pytest.mark.parametrize(
    ("factor", "encoding", "said"),
    [
        (10, "16UC1", "the nearest is 4.5 m: nothing is within reach, or one step of 16UC1 is not 0.001 m"),
        (1000, "32FC1", "the nearest is 450 m: nothing is within reach, or 32FC1 is not in metres (millimetres"),
        (10, "16UC1; compressedDepth png", "or one step of 16UC1 is not 0.001 m (depth_unit_m)"),
        (0.1, "mono16", "no depth reading is farther than 0.09 m: the view is blocked, or one step of mono16 is not"),
    ],
)
def test_another_unit_is_named(factor, encoding, said):
    assert said in question_unit(SCENE_M * np.float32(factor), encoding, depth_max_m=1.5)


def test_a_single_near_reading_hides_nothing():
    far = np.full((240, 320), 4.0, np.float32)
    far[4, 4] = 0.5
    assert "the nearest is 4 m" in question_unit(far, "16UC1", depth_max_m=1.5)


def test_the_unit_of_16_bit_depth_can_be_set():
    tenths = np.array([[0, 4500, 65535]], np.uint16)
    np.testing.assert_allclose(to_depth_m(tenths, "16UC1", 0.0001), [[np.nan, 0.45, np.nan]], rtol=1e-6)
    np.testing.assert_allclose(to_depth_m(np.array([[0.45]], np.float32), "32FC1", 0.0001), [[0.45]])
