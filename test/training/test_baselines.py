"""What the method is held against: small fits that are right for small reasons."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
import torch
from small_training import patterns

from tiae_ros.errors import DataError, MissingExtraError, ParameterError
from tiae_training.baselines import BASELINES, centre, fit_baseline
from tiae_training.measures import measure_model
from tiae_training.peers import PEERS, _pixels
from tiae_training.transforms.shifts import shift_images


def test_the_centroid_is_moved_to_the_middle():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 0, 1], image[0, 0, 0, 3], image[0, 0, 2, 2] = 1.0, 1.0, 2.0
    moved, shift = centre(image)
    assert shift.tolist() == [[0.0, -1.0]]
    torch.testing.assert_close(moved, shift_images(image, torch.tensor([[0, 1]])))
    image[0, 0, 2, 2] = 3.0  # the centroid is 0.8 px above the middle
    moved, shift = centre(image, whole=True)
    assert shift.tolist() == [[0.0, -1.0]]
    torch.testing.assert_close(moved, shift_images(image, torch.tensor([[0, 1]])))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_answers_all_questions(name):
    if name in PEERS and importlib.util.find_spec("pyroved") is None:
        pytest.skip("pyroved is not installed (pip install --no-deps -r requirements/peers.txt)")
    baseline = fit_baseline(name, patterns(96), radius_px=3, descriptor_size=6, epochs=2)
    measures = measure_model(baseline, patterns(60, seed=1), patterns(96), shift_radius_px=3)
    silent = {n for n, value in measures.items() if not np.isfinite(value)}
    assert silent == ({"shift_error"} if name in ("pca", "ordinary-ae") else set())
    assert baseline.encode(patterns(5).images).shape == (5, 6)


def test_centring_undoes_shifts_of_whole_patterns():
    baseline = fit_baseline("centroid-pca", patterns(96), radius_px=3, descriptor_size=6)
    measures = measure_model(baseline, patterns(60, seed=1), patterns(96), shift_radius_px=3)
    assert measures["dispersion"] < 0.05
    assert measures["shift_error"] < 0.01


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ParameterError, match="accepted are pca"):
        fit_baseline("magic", patterns(9))


def test_an_absent_peer_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroved", None)
    with pytest.raises(MissingExtraError, match=r"--no-deps -r requirements/peers\.txt"):
        fit_baseline("pyroved-t", patterns(9))


def test_a_peer_refuses_two_channels():
    two = dataclasses.replace(patterns(9), images=np.zeros((9, 2, 16, 16), np.float32))
    with pytest.raises(DataError, match="takes one channel; images have 2"):
        fit_baseline("pyroved-t", two)


@pytest.mark.parametrize(("turned", "expected"), [(0.0, [3.75, -1.5]), (np.pi / 2, [-1.5, -3.75])])
def test_a_peers_coordinates_are_shifts_of_the_pattern(turned, expected):
    """Its pixel at c paints the pattern at R c + move; rows run from -1 to 1, columns from 1 to -1."""
    move = torch.tensor([[0.2, 0.5]])
    shift = _pixels(torch.tensor([turned], dtype=torch.float32), move, side=16)
    torch.testing.assert_close(shift, torch.tensor([expected], dtype=torch.float32))
