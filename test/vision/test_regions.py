"""Which cells of the network's scores count: hands large and sure enough, and what touches them."""

import numpy as np

from tiae_ros.vision.segmentation.regions import plausible_cells
from tiae_ros.vision.segmentation.settings import SegmentationSettings


def test_left_overs_and_things_apart_are_dropped():
    shares = np.zeros((60, 80, 3), np.float32)
    shares[:, :, 0] = 1.5
    depth = np.full((60, 80), 0.5, np.float32)  # a cell is 5 mm wide
    shares[10:40, 10:30, 1] = 5  # 150 cm2 of hand
    shares[12:20, 31:40, 2] = 5  # touches it
    shares[45:55, 60:75, 2] = 5  # stands apart
    shares[2:5, 70:73, 1] = 5  # 2 cm2
    shares[42:59, 5:35, 1] = 2  # 127 cm2 that are a hand with a probability of 0.57
    kept = plausible_cells(shares.transpose(2, 0, 1), depth, 100.0, SegmentationSettings())
    expected = np.zeros_like(kept)
    expected[10:40, 10:30] = expected[12:20, 31:40] = True
    np.testing.assert_array_equal(kept, expected)
    shares[10:40, 10:30, 1] = 0  # without a hand nothing is held
    assert not plausible_cells(shares.transpose(2, 0, 1), depth, 100.0, SegmentationSettings()).any()


def test_sure_hands_are_followed_into_half_sure_cells():
    scores = np.zeros((3, 60, 80), np.float32)
    scores[0] = 4.0
    depth = np.full((60, 80), 0.5, np.float32)  # a cell is 5 mm wide
    scores[1, 10:40, 10:30] = 8.0  # 150 cm2 of hand
    scores[1, 20:24, 30:78] = 3.2  # a finger, half as likely as nothing, and a wall behind it
    scores[2, 14:18, 30:36] = 3.2  # what it holds, as likely
    scores[1, 30:34, 30:40] = 2.5  # a fifth as likely
    scores[1, 45:55, 10:40] = 3.2  # half as likely as nothing, and apart
    kept = plausible_cells(scores, depth, 100.0, SegmentationSettings())
    expected = np.zeros_like(kept)
    expected[10:40, 10:30] = expected[20:24, 30:40] = expected[14:18, 30:36] = True
    np.testing.assert_array_equal(kept, expected)
    scores[1, 10:40, 10:30] = 4.5  # a hand with a probability of 0.62
    assert not plausible_cells(scores, depth, 100.0, SegmentationSettings()).any()
