"""The vote of the prototypes around a descriptor."""

import numpy as np
import pytest

from tiae_ros.model.naming import NONE, VOTERS, voted_labels


def test_the_nearest_names_have_most_votes():
    """By hand: votes 1, 1, 1 / e for the radius 8 and distances 1, 1, 2."""
    distances = np.array([[1.0, 1.0, 2.0]])
    assert voted_labels(distances, np.array([0, 1, 1]), 8.0).tolist() == [1]  # 0.42 to 0.58
    assert voted_labels(distances, np.array([0, 1, 2]), 8.0).tolist() == [0]  # 0.422, as much as label 1
    assert voted_labels(np.array([[1.0, 1.0, 1.0]]), np.array([0, 1, 2]), 8.0).tolist() == [NONE]  # a third each


def test_one_prototype_alone_is_outvoted_by_many_beside_it():
    distances = np.array([[1.0, *np.full(5, 1.1)]])
    assert voted_labels(distances, np.array([3, 5, 5, 5, 5, 5]), 8.0).tolist() == [5]


@pytest.mark.parametrize(("nearest", "named"), [(0.99, 2), (1.0, 2), (1.01, NONE)])
def test_beyond_the_radius_nothing_has_a_name(nearest, named):
    assert voted_labels(np.array([[nearest, 3.0]]), np.array([2, 2]), 1.0).tolist() == [named]


def test_far_prototypes_have_no_vote():
    many = np.full(VOTERS - 1, 0.9)
    assert voted_labels(np.array([[0.0, *many]]), np.array([0, *np.full(VOTERS - 1, 1)]), 1.0).tolist() == [0]


def test_few_or_no_prototypes_and_no_radius():
    assert voted_labels(np.zeros((3, 0)), np.zeros(0, np.int64), 1.0).tolist() == [NONE] * 3
    assert voted_labels(np.zeros((0, 4)), np.zeros(4, np.int64), 1.0).tolist() == []
    assert voted_labels(np.array([[0.0, 0.5]]), np.array([0, 1]), 0.0).tolist() == [0]
    assert voted_labels(np.array([[0.1, 0.5]]), np.array([0, 1]), 0.0).tolist() == [NONE]
