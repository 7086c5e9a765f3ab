"""The measures on cases whose answer is known by hand."""

import numpy as np
import pytest
import torch

from tiae_training.data.arrays import ImageArrays
from tiae_training.measures import ShiftedViews, class_measures, dispersion, restoration_error, shift_error
from tiae_training.transforms.shifts import shift_images


def test_dispersion_is_the_share_of_variance_that_shifts_cause():
    points = np.array([[0.0], [10.0]])
    assert dispersion(np.stack([points, points])) == 0.0
    assert dispersion(np.array([[[0.0], [0.0]], [[2.0], [2.0]]])) == pytest.approx(1.0)
    # within 1, between 25: 1 / 26
    assert dispersion(np.array([[[-1.0], [9.0]], [[1.0], [11.0]]])) == pytest.approx(1 / 26)


def test_restoration_error_forgives_a_shift_and_nothing_else():
    target = torch.zeros(1, 1, 16, 16)
    target[0, 0, 6:10, 6:10] = 1.0
    moved = shift_images(target, torch.tensor([[3, -2]]))
    assert restoration_error(moved, target) == pytest.approx(0.0, abs=1e-6)
    assert restoration_error(torch.zeros_like(target), target) == pytest.approx(1.0)
    assert restoration_error(0.5 * moved, target) == pytest.approx(0.25)


def test_shift_error_is_per_axis():
    assert shift_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])) == pytest.approx(0.5)


def test_views_are_the_seeds_and_nothing_elses():
    arrays = ImageArrays(images=np.random.default_rng(0).random((5, 1, 16, 16), dtype=np.float32))
    one, same, other = (ShiftedViews.draw(arrays, 3, seed) for seed in (1, 1, 2))
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.images, other.images)
    assert one.shifts.abs().max() == 3
    still = ShiftedViews.draw(arrays, 0, 1)
    assert torch.equal(still.images[3], torch.from_numpy(arrays.images))


def test_separate_classes_are_recognised_whatever_the_shift():
    """Descriptors that ignore the shift (here: the sum of the window) give full marks."""
    rng = np.random.default_rng(0)
    images = np.zeros((60, 1, 16, 16), np.float32)
    labels = np.arange(60) % 3
    images[:, 0, 7:9, 7:9] = (0.2 + 0.3 * labels + 0.01 * rng.random(60))[:, None, None]

    def encode(windows):
        return np.asarray(windows).sum((1, 2, 3))[:, None]

    test, gallery = (ImageArrays(images=images[i::2], labels=labels[i::2]) for i in (0, 1))
    measures = class_measures(encode, encode(test.images), test, gallery, radius_px=4, seed=0)
    assert measures == {"knn_accuracy": 1.0, "nmi": pytest.approx(1.0), "ari": pytest.approx(1.0)}
    assert class_measures(encode, encode(test.images), ImageArrays(images=test.images), gallery, 4, 0) == {}
