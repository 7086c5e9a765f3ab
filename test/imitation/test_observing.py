"""An estimate of the hand pose model -> what the gate takes."""

from __future__ import annotations

import numpy as np
import pytest

from tiae_ros.imitation.observing import observation_of
from tiae_ros.model.hand_pose import HandPoseEstimate


def test_one_hand_of_an_estimate():
    rows = np.arange(2, dtype=np.float32)
    hands = HandPoseEstimate(
        joints=np.tile(rows[:, None], 25),
        joint_spread=np.tile(np.float32([[0.3], [0.4]]), 25),
        tips_mm=rows[:, None, None] + np.zeros((1, 5, 3), np.float32),
        tip_spread_mm=np.zeros((2, 5), np.float32),
        left=rows,
        length_mm=180 + rows,
        known=np.array([False, True]),
        novelty=rows,
        pinch=np.float32([[0, 0, 0, 0], [0.9, 0.1, 0, 0]]),
    )
    hands.joint_spread[1, 0] = 0.0
    seen = observation_of(hands, 1, 12.5)
    assert (seen.stamp_s, seen.known, seen.length_mm) == (12.5, True, 181.0)
    assert seen.spread_rad == pytest.approx(0.4 * np.sqrt(24 / 25))  # root mean square
    np.testing.assert_array_equal(seen.tips_mm, np.ones((5, 3)))
    assert seen.pinch.tolist() == pytest.approx([0.9, 0.1, 0, 0])
    assert not observation_of(hands, 0, 12.5).known
