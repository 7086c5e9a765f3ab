"""What the method is held against: small fits that are right for small reasons."""

import numpy as np
import pytest
import torch
from test_training import patterns

from tiae_ros.core.shifts import shift_images
from tiae_ros.errors import ParameterError
from tiae_training.baselines import BASELINES, centre, fit_baseline
from tiae_training.measures import measure_model


def test_the_centroid_is_moved_to_the_middle():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 0, 1], image[0, 0, 0, 3], image[0, 0, 2, 2] = 1.0, 1.0, 2.0
    moved, shift = centre(image)
    assert shift.tolist() == [[0.0, -1.0]]
    torch.testing.assert_close(moved, shift_images(image, torch.tensor([[0, 1]])))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_answers_all_questions(name):
    baseline = fit_baseline(name, patterns(96), radius_px=3, descriptor_size=6, epochs=2)
    measures = measure_model(baseline, patterns(60, seed=1), patterns(96), shift_radius_px=3)
    silent = {n for n, value in measures.items() if not np.isfinite(value)}
    assert silent == ({"shift_error"} if name in ("pca", "ordinary-ae") else set())
    images = patterns(5).images
    assert isinstance(baseline.encode(images), np.ndarray)
    assert baseline.encode(torch.from_numpy(images)).shape == (5, 6)


def test_centring_undoes_shifts_of_whole_patterns():
    baseline = fit_baseline("centroid-pca", patterns(96), radius_px=3, descriptor_size=6)
    measures = measure_model(baseline, patterns(60, seed=1), patterns(96), shift_radius_px=3)
    assert measures["dispersion"] < 0.05
    assert measures["shift_error"] < 0.01


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ParameterError, match="accepted are pca"):
        fit_baseline("magic", patterns(9))
