"""The vote of the prototypes around a descriptor."""

import numpy as np
import pytest

from tiae_ros.model.naming import NONE, VOTERS, numbered, voted_labels


def test_names_are_numbered_as_they_appear():
    names, labels = numbered(["pen", "cup", "pen"])
    assert names == ("pen", "cup")
    assert labels.tolist() == [0, 1, 0]
    assert numbered([])[0] == ()


def test_the_nearest_names_have_most_votes():
    """By hand: with the radius 8 votes are 1 and 1 / e for distances 1 and 2."""
    distances = np.array([[1.0, 2.0]])
    assert voted_labels(distances, np.array([0, 1]), 8.0).tolist() == [0]  # .73 and .27
    assert voted_labels(np.array([[1.0, 1.0]]), np.array([0, 1]), 8.0).tolist() == [NONE]
    assert voted_labels(np.array([[1.0, 1.4]]), np.array([0, 1]), 8.0).tolist() == [NONE]  # .60 and .40
    assert voted_labels(np.array([[1.0, 1.6]]), np.array([0, 1]), 8.0).tolist() == [0]  # .65 and .35


def test_one_prototype_alone_is_outvoted_by_many_beside_it():
    labels = np.array([3, 5, 5, 5, 5, 5, 3, 3, 3, 3])
    distances = np.array([[1.0, *np.full(5, 1.1), *np.full(4, 50.0)]])
    assert voted_labels(distances, labels, 8.0).tolist() == [5]


def test_few_prototypes_count_as_much_as_many():
    """Two of one name and eight of the other, all equally far."""
    labels = np.array([0, 0, *np.ones(8, int)])
    at_the_few = np.array([[1.0, 1.0, *np.full(8, 1.5)]])
    assert voted_labels(at_the_few, labels, 8.0).tolist() == [0]
    assert voted_labels(np.full((1, 9), 1.0), labels[1:], 8.0).tolist() == [NONE]


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
