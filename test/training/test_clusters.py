"""Clusters and their agreement with classes: by hand, and against scikit-learn where it is installed."""

import numpy as np
import pytest

from tiae_ros.errors import TiaeError
from tiae_training.clusters import (
    adjusted_rand,
    cluster_accuracy,
    gaussian_mixture,
    k_means,
    mean_shift,
    normalized_mutual_information,
    purity,
)

TWO, ONE = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])


@pytest.mark.parametrize(
    ("classes", "clusters", "nmi", "ari"),
    [
        (TWO, TWO + 5, 1.0, 1.0),
        (TWO, 1 - TWO, 1.0, 1.0),  # numbers mean nothing
        (TWO, np.array([0, 1, 0, 1]), 0.0, -0.5),  # (0 − 2/3) / (2 − 2/3)
        (TWO, ONE, 0.0, 0.0),
        (ONE, ONE, 1.0, 1.0),
        (TWO, np.array([0, 0, 1, 2]), 0.8, 4 / 7),  # log 2 / mean(log 2, 1.5 log 2); (1 − 1/3) / (1.5 − 1/3)
    ],
)
def test_agreement_by_hand(classes, clusters, nmi, ari):
    assert normalized_mutual_information(classes, clusters) == pytest.approx(nmi, abs=1e-12)
    assert adjusted_rand(classes, clusters) == pytest.approx(ari, abs=1e-12)


@pytest.mark.parametrize(
    ("classes", "clusters", "right", "pure"),
    [
        (TWO, 1 - TWO, 4, 4),  # numbers mean nothing
        (TWO, ONE, 2, 2),
        (TWO, np.array([0, 1, 2, 3]), 2, 4),  # a class takes one cluster only; purity gives it several
        # cluster 0: three of class 0, two of class 1; cluster 1: two of class 0, none of class 1.
        # To name cluster 0 by its most frequent class is right 3 times; the other way round 2 + 2 times.
        (np.array([0, 0, 0, 1, 1, 0, 0]), np.array([0, 0, 0, 0, 0, 1, 1]), 4, 5),
    ],
)
def test_accuracy_and_purity_by_hand(classes, clusters, right, pure):
    pytest.importorskip("scipy", reason="scipy is not installed")
    assert cluster_accuracy(classes, clusters) == pytest.approx(right / len(classes))
    assert purity(classes, clusters) == pytest.approx(pure / len(classes))


def test_a_mixture_separates_what_k_means_cuts():
    """A wide heap, and a narrow one at its border: nearest centres halve the wide one, a mixture does not."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    rng = np.random.default_rng(5)
    true = np.repeat([0, 1], 200)
    heaps = np.where(true[:, None] == 0, rng.normal(size=(400, 2)) * 3.0, rng.normal(size=(400, 2)) * 0.1 + (4.0, 0.0))
    clusters = gaussian_mixture(heaps.astype(np.float32), 2, seed=0, attempts=2)
    assert purity(true, clusters) > 0.98
    assert purity(true, k_means(heaps.astype(np.float32), 2, seed=0)[1]) < 0.9
    assert np.array_equal(clusters, gaussian_mixture(heaps.astype(np.float32), 2, seed=0, attempts=2))


def test_rounded_covariances_keep_a_heap_with_a_dense_core_together():
    """Two heaps of one size; most of one lies in its very middle, which without rounding is a cluster of its own."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    rng = np.random.default_rng(6)
    true = np.repeat([0, 1], 400)
    spread = rng.choice([0.02, 0.5], 400, p=[0.7, 0.3])[:, None]
    core = rng.normal(size=(400, 2)) * spread + np.array([4.0, 0.0])
    heaps = np.concatenate([rng.normal(size=(400, 2)), core]).astype(np.float32)
    assert purity(true, gaussian_mixture(heaps, 2, seed=0)) < 0.9
    assert purity(true, gaussian_mixture(heaps, 2, seed=0, rounding=0.1)) > 0.98


@pytest.mark.parametrize(
    ("values", "count", "rounding", "message"),
    [
        (np.ones(4), 1, 0.0, "accepted are finite"),
        (np.full((4, 2), np.nan), 1, 0.0, "accepted are finite"),
        (np.ones((4, 2)), 5, 0.0, "5 clusters of 4 descriptors"),
        (np.ones((4, 2)), 0, 0.0, "0 clusters of 4 descriptors"),
        (np.ones((4, 2)), 1, -1.0, "rounding is -1.0"),
    ],
)
def test_a_mixture_refuses_what_it_cannot_use(values, count, rounding, message):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    with pytest.raises(TiaeError, match=message):
        gaussian_mixture(values, count, seed=0, rounding=rounding)


def test_agreement_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    for classes, clusters in ((3, 3), (10, 4), (2, 50)):
        one, other = rng.integers(classes, size=200), rng.integers(clusters, size=200)
        other[:100] = one[:100]
        assert normalized_mutual_information(one, other) == pytest.approx(
            metrics.normalized_mutual_info_score(one, other)
        )
        assert adjusted_rand(one, other) == pytest.approx(metrics.adjusted_rand_score(one, other))


def test_k_means_finds_heaps_the_same_way_again():
    rng = np.random.default_rng(1)
    true = np.repeat(np.arange(4), 50)
    heaps = (10.0 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) @ rng.normal(size=(2, 6)))[true]
    descriptors = (heaps + 0.1 * rng.normal(size=heaps.shape)).astype(np.float32)
    centres, clusters = k_means(descriptors, 4, seed=2**31 + 3, attempts=3)
    assert adjusted_rand(true, clusters) == 1.0
    for cluster, centre in enumerate(centres):
        np.testing.assert_allclose(centre, descriptors[clusters == cluster].mean(0), atol=1e-3)
    again = k_means(descriptors, 4, seed=2**31 + 3, attempts=3)
    assert np.array_equal(again[0], centres)
    assert np.array_equal(again[1], clusters)


def test_k_means_is_as_compact_as_scikit_learns():
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is not installed")
    descriptors = np.random.default_rng(2).normal(size=(300, 5)).astype(np.float32)
    centres, clusters = k_means(descriptors, 6, seed=0, attempts=10)
    ours = np.square(descriptors - centres[clusters]).sum()
    assert ours < 1.02 * cluster.KMeans(6, n_init=10, random_state=0).fit(descriptors).inertia_


def test_mean_shift_finds_heaps_and_leaves_what_is_alone():
    rng = np.random.default_rng(3)
    heaps = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], (50, 30, 20), axis=0)
    descriptors = np.concatenate([heaps + 0.2 * rng.normal(size=heaps.shape), [[20.0, 20.0]]]).astype(np.float32)
    centres, clusters = mean_shift(descriptors, 1.5)
    assert clusters.tolist() == [0] * 50 + [1] * 30 + [2] * 20 + [3]  # the fullest first
    np.testing.assert_allclose(centres[0], descriptors[:50].mean(0), atol=1e-4)
    assert len(mean_shift(descriptors, 100.0)[0]) == 1
    assert len(mean_shift(descriptors[:5], 1e-6)[0]) == 5


def test_mean_shift_is_that_of_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is not installed")
    descriptors = np.random.default_rng(4).normal(size=(150, 3)).astype(np.float32)
    centres, clusters = mean_shift(descriptors, 1.2)
    theirs = cluster.MeanShift(bandwidth=1.2).fit(descriptors)
    assert len(centres) == len(theirs.cluster_centers_)
    assert adjusted_rand(clusters, theirs.labels_) == 1.0
