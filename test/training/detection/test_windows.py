"""Windows of frames: one for each hand, its own masks to be restored, joints and view beside them."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")
pytest.importorskip("mujoco", reason="grasps need MuJoCo (extra `sim`)")
pytest.importorskip("anny", reason="people need anny (extra `sim`)")

from drawn_frames import empty_frame, hand_frame, hand_rows

from tiae_ros.errors import ParameterError
from tiae_ros.vision.sight import Segmentation, Sight, sight_of_labels
from tiae_training.data.windows import WindowSize, window_arrays
from tiae_training.detection.windows import LABEL_NAMES, rows_of_frame
from tiae_training.simulator.window_set import Segmented

SHAPE = WindowSize()


class Fixed(Segmentation):
    """Sees these labels in every picture."""

    name = "fixed"

    def __init__(self, labels):
        self._labels = labels

    def see(
        self, color, depth_m, settings=None, *, focal_px=None, metric_size_m=0.3, before=(), redetect=False
    ) -> Sight:
        return sight_of_labels(self._labels, depth_m, focal_px, metric_size_m)


def as_found(frame):
    """Labels as a segmentation gives them: the arm is hand."""
    return np.where(frame.labels == 3, 1, frame.labels).astype(np.uint8)


def two_hands():
    """One at the left, one at the right of one picture, both in one window's reach of each other."""
    one, other = (hand_frame(x, 180.0, 0.6, left=left) for x, left in ((190.0, False), (310.0, True)))
    other_there = other.labels > 0
    joined = {
        name: np.where(
            other_there.reshape(other_there.shape + (1,) * (getattr(one, name).ndim - 2)), b, getattr(one, name)
        )
        for name, b in (("color", other.color), ("depth_m", other.depth_m), ("labels", other.labels))
    }
    owner = np.where(other_there, 2, one.owner).astype(np.uint8)
    rows = hand_rows([(190, 180, 0, 1, 0.6, False, 4000), (310, 180, 0, 1, 0.6, True, 4000)])
    return dataclasses.replace(one, **joined, owner=owner, hands=rows)


def test_a_hand_with_its_arm_and_thing_is_a_window():
    frame = hand_frame(left=True)
    (row,) = rows_of_frame(frame, SHAPE, None)
    assert np.array_equal(row.masks, row.clean_masks)
    cell_m2 = (0.30 / 32) ** 2
    thing = row.masks[1].sum() / 255 * cell_m2
    assert thing == pytest.approx(0.14 * 0.03, rel=0.1)  # as drawn
    assert row.masks[0].sum() / 255 * cell_m2 > 0.08 * 0.08  # with arm
    assert (row.hand.left, row.hand.grasp, row.hand.subject) == (True, "cup", 7)
    lit = row.depth[0][row.masks.max(0) > 200]
    assert np.abs(lit.astype(int) - 127).max() <= 1  # as deep as the window's middle


def test_clean_depth_is_what_is_to_be_restored():
    frame = hand_frame()
    true = np.where(frame.labels > 0, frame.depth_m + 0.03, frame.depth_m).astype(np.float32)
    (row,) = rows_of_frame(dataclasses.replace(frame, clean_depth_m=true), SHAPE, None)
    inside = row.masks.max(0) > 200
    apart = row.depth[0][inside].astype(int) - row.clean_depth[0][inside]
    assert np.median(apart) == pytest.approx(255 * 0.03 / 0.30, abs=2)


def test_the_other_hand_is_seen_by_a_segmentation_but_not_to_be_restored():
    frame = two_hands()
    alone = list(rows_of_frame(frame, SHAPE, None))
    found = list(rows_of_frame(frame, SHAPE, Fixed(as_found(frame))))
    assert [row.hand.subject for row in alone] == [7, 8]
    assert sorted(row.hand.subject for row in found) == [7, 8]
    for row in found:
        assert row.masks[0].sum() > 1.03 * row.clean_masks[0].sum()
    for row in alone:
        assert np.array_equal(row.masks, row.clean_masks)


def test_what_is_hardly_that_hand_is_no_window():
    frame = hand_frame()
    labels = np.zeros_like(frame.labels)
    labels[178:183, 236:245] = 1  # a spot in the hand's middle
    assert not list(rows_of_frame(frame, SHAPE, Fixed(labels)))
    assert not list(rows_of_frame(empty_frame(), SHAPE, None))
    assert not list(rows_of_frame(hand_frame(shown=0.05), SHAPE, None))


def test_arrays_tell_hands():
    rows = [*rows_of_frame(hand_frame(), SHAPE, None), *rows_of_frame(two_hands(), SHAPE, None)]
    content = window_arrays(rows, LABEL_NAMES, "both", SHAPE)
    assert content["images"].shape == content["clean"].shape == (3, 3, 32, 32)
    assert content["joints"].shape == (3, 25)
    assert content["tips_mm"].shape == (3, 5, 3)
    assert content["view"].shape == (3, 3)
    assert content["hand_size_m"].tolist() == pytest.approx([0.18] * 3)
    assert content["left_hand"].tolist() == [False, False, True]
    assert [LABEL_NAMES[label] for label in content["labels"]] == ["cup"] * 3
    assert window_arrays(rows, LABEL_NAMES, "depth", SHAPE)["images"].shape == (3, 1, 32, 32)
    assert "clean" not in window_arrays(rows, LABEL_NAMES, "masks", SHAPE)


def test_shares_are_checked():
    with pytest.raises(ParameterError, match="share of segmented windows is 1"):
        Segmented(1.5)
