"""What is seen, when labels come from somebody else."""

import numpy as np
import pytest
from labelled_frames import fist_holding_a_bar, wall

from tiae_ros.errors import ImageError
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.sight import GIVEN, FoundHand, sight_of_labels


def test_labels_of_others_give_windows_and_nothing_more():
    labels, depth = fist_holding_a_bar()
    sight = sight_of_labels(labels, depth, 300.0, 0.25)
    assert sight.road == GIVEN
    assert sight.labels is labels
    assert sight.hands == [FoundHand(window) for window in find_windows(labels, depth, 300.0, 0.25)]
    (hand,) = sight.hands
    assert (hand.confidence, hand.left, hand.crop, hand.middle, hand.arm) == (None,) * 5
    assert hand.window.side_px == pytest.approx(0.25 * 300 / 0.5)


def test_the_road_may_have_a_name():
    assert sight_of_labels(*fist_holding_a_bar(), 300.0, 0.3, road="classical").road == "classical"


def test_no_label_no_hand():
    assert sight_of_labels(*wall(), 300.0, 0.3).hands == []


def test_labels_of_another_size_are_refused():
    with pytest.raises(ImageError):
        sight_of_labels(np.zeros((3, 3), np.uint8), wall()[1], 300.0, 0.3)
