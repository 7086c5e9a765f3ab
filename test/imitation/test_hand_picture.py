"""The picture of a robot hand from its chains."""

from __future__ import annotations

import numpy as np
import pytest

from tiae_ros.imitation.hand_files import shipped_hands
from tiae_ros.imitation.hand_picture import BACKDROP, TIP, HandPicture
from tiae_ros.imitation.robot_hand import load_hand


def rows_of(picture: np.ndarray) -> np.ndarray:
    return np.argwhere((picture != BACKDROP).any(axis=-1))[:, 0]


@pytest.mark.parametrize("name", shipped_hands())
def test_an_open_hand_fills_the_picture_and_a_left_one_is_its_mirror_image(name):
    right, left = (load_hand(name, side) for side in ("right", "left"))
    open_hand = HandPicture(right, 80).draw(right.rest)
    rows = rows_of(open_hand)
    assert 0 < rows.min() < 12
    assert 68 < rows.max() < 79
    assert (np.abs(open_hand.astype(int) - TIP).sum(axis=-1) < 40).sum() >= 4  # the tips
    np.testing.assert_array_equal(HandPicture(left, 80).draw(left.rest), open_hand[:, ::-1])


def test_a_fist_is_lower_than_an_open_hand():
    hand = load_hand("shadow")
    drawn = HandPicture(hand, 80)
    bent = np.array([name[3:5] in ("FF", "MF", "RF", "LF") and name[-1] in "123" for name in hand.names])
    fist = np.where(bent, 1.4, hand.rest)
    assert rows_of(drawn.draw(fist)).min() > rows_of(drawn.draw(hand.rest)).min() + 10
