"""The measures on cases whose answer is known by hand, and the same figures with torch and without."""

import json
import subprocess
import sys

import numpy as np
import pytest
from small_training import patterns

from tiae_ros import load_model
from tiae_ros.model.shifts import shift_images
from tiae_training.data.arrays import ImageArrays, save_arrays
from tiae_training.measures import (
    class_measures,
    dispersion,
    knn_accuracy,
    measure_model,
    restoration_error,
    shift_error,
    shifted_views,
)


def test_dispersion_is_variance_that_shifts_cause():
    points = np.array([[0.0], [10.0]])
    assert dispersion(np.stack([points, points])) == 0.0
    assert dispersion(np.array([[[0.0], [0.0]], [[2.0], [2.0]]])) == pytest.approx(1.0)
    # within 1, between 25: 1 / 26
    assert dispersion(np.array([[[-1.0], [9.0]], [[1.0], [11.0]]])) == pytest.approx(1 / 26)


def test_restoration_error_forgives_a_shift_and_nothing_else():
    target = np.zeros((1, 1, 16, 16), np.float32)
    target[0, 0, 6:10, 6:10] = 1.0
    moved = shift_images(target, np.array([[3, -2]]))
    assert restoration_error(moved, target) == pytest.approx(0.0, abs=1e-6)
    assert restoration_error(np.zeros_like(target), target) == pytest.approx(1.0)
    assert restoration_error(0.5 * moved, target) == pytest.approx(0.25)


def test_shift_error_is_per_axis():
    assert shift_error(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])) == pytest.approx(0.5)


def test_five_neighbours_vote():
    known = np.array([0.0, 0.1, 0.2, 0.9, 1.0, 1.1, 1.2], np.float32)[:, None]
    labels = np.array([7, 7, 7, 3, 3, 3, 3])
    assert knn_accuracy(known, labels, np.array([[0.0], [1.0], [0.3]], np.float32), np.array([7, 3, 3])) == 2 / 3


def test_views_are_the_seeds_and_nothing_elses():
    arrays = ImageArrays(images=np.random.default_rng(0).random((5, 1, 16, 16), dtype=np.float32))
    one, same, other = (shifted_views(arrays, 3, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.images, same.images)
    assert not np.array_equal(one.images, other.images)
    assert np.abs(one.shifts).max() == 3
    assert np.array_equal(shifted_views(arrays, 0, 1).images[3], arrays.images)


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


def test_without_torch_the_figures_are_the_same(trained, tmp_path):
    test, gallery = patterns(60, seed=1), patterns(90)
    for name, arrays in (("test", test), ("gallery", gallery)):
        save_arrays(tmp_path / f"{name}.npz", {"images": arrays.images, "labels": arrays.labels})
    code = """import sys
for name in ("torch", "sklearn", "safetensors"):
    sys.modules[name] = None
from tiae_ros.cli import main
sys.exit(main(sys.argv[1:]))"""
    words = f"evaluate --model {trained[1]} --data test.npz --gallery gallery.npz --seed 3 --device cpu --json".split()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    wanted = measure_model(load_model(trained[1], "cpu"), test, gallery, seed=3)
    assert {"knn_accuracy", "nmi", "ari", "dispersion", "shift_error"} <= set(wanted)
    assert {name: figures[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
