"""What may be said of an angle, and of a pose beside the shift: hand-computed cases."""

import numpy as np
import pytest

from tiae_ros.model.ambiguity import SURE, Ambiguity, ambiguity, angle_is_known
from tiae_ros.model.pattern_poses import pattern_poses

CASES = [
    ((1.0, 0.0), Ambiguity.NONE),
    ((0.7, 0.3), Ambiguity.NONE),
    ((0.69, 0.31), Ambiguity.HALF_TURN),
    ((0.5, 0.5), Ambiguity.HALF_TURN),
    ((0.2, 0.8), Ambiguity.HALF_TURN),
    ((0.69, 0.0), Ambiguity.ANY),  # a quarter turn off, perhaps, or mirrored
    ((5 / 32, 5 / 32), Ambiguity.ANY),  # a round pattern: five bins of 32
    ((0.0, 0.0), Ambiguity.ANY),
    ((np.nan, 0.9), Ambiguity.ANY),
    ((0.9, np.nan), Ambiguity.NONE),
]


@pytest.mark.parametrize(("confidence", "expected"), CASES)
def test_an_angle_is_known_when_it_is_likely_alone(confidence, expected):
    assert ambiguity([confidence]) == [expected]
    assert angle_is_known([confidence]).tolist() == [expected is Ambiguity.NONE]


def test_rows_are_judged_one_by_one():
    confidences, expected = zip(*CASES, strict=True)
    assert ambiguity(np.float64(confidences)) == list(expected)
    assert ambiguity(np.zeros((0, 2))) == []
    known = angle_is_known(np.zeros((0, 2), np.float32))
    assert known.shape == (0,)
    assert known.dtype == bool
    assert SURE > 0.5  # two angles cannot both be sure


def test_tensors_are_judged_too():
    torch = pytest.importorskip("torch")
    assert ambiguity(torch.tensor([[0.9, 0.1], [0.5, 0.5]])) == [Ambiguity.NONE, Ambiguity.HALF_TURN]


def test_what_is_not_sure_is_not_a_number():
    parameters = [[1, 2, 0.5, 0.0, 1], [3, 4, -1.0, np.log(2), 1], [5, 6, 3.0, np.log(0.5), 0]]
    poses = pattern_poses(np.float32(parameters), np.float32([[0.75, 0.1], [0.5, 0.4], [0.2, 0.1]]))
    np.testing.assert_array_equal(poses.angles, np.float32([0.5, np.nan, np.nan]))
    np.testing.assert_allclose(poses.scales, [1, 2, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(poses.mirrored, [1, 1, np.nan])  # either angle of the second is of a mirrored one
    np.testing.assert_array_equal(poses.confidences, np.float32([0.75, 0.5, 0.2]))
    assert poses.ambiguities == [Ambiguity.NONE, Ambiguity.HALF_TURN, Ambiguity.ANY]
    assert poses.codes.tolist() == [0, 1, 2]
    assert {values.dtype for values in (poses.angles, poses.scales, poses.mirrored)} == {np.dtype(np.float32)}
    assert poses.codes.dtype == np.uint8


@pytest.mark.parametrize("columns", [4, 5])
def test_of_no_windows_there_are_no_poses(columns):
    poses = pattern_poses(np.zeros((0, columns), np.float32), np.zeros((0, 2), np.float32))
    assert poses.angles.shape == poses.scales.shape == poses.confidences.shape == poses.codes.shape == (0,)
    assert (poses.mirrored is None) == (columns == 4)


@pytest.mark.parametrize("columns", [2, 4])
def test_without_a_confidence_nothing_is_said(columns):
    """Of a shift alone, and of models of before angles were sure."""
    assert pattern_poses(np.zeros((3, columns), np.float32), None) is None
