"""Clusters of descriptors, and how well they agree with classes; by OpenCV and numpy, on a robot too.

Gaussian mixtures and the best assignment alone take scikit-learn and scipy.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, MissingExtraError, ParameterError, install_hint

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

_CRITERIA = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 300, 1e-4)
_MOST_CLIMBS = 300


def k_means(descriptors: Floats, count: int, *, seed: int, attempts: int = 1) -> tuple[Floats, Whole]:
    """Centres (count, K) and the cluster (N,) of each descriptor (N, K): the most compact of some attempts."""
    rng = np.random.RandomState(seed)
    middle = descriptors.mean(0)
    values = np.ascontiguousarray(descriptors - middle, np.float32)
    found = []
    for _ in range(attempts):
        nearest = _squared_distances(values, values[_starts(values, count, rng)]).argmin(1).astype(np.int32)
        found.append(cv2.kmeans(values, count, nearest[:, None], _CRITERIA, 1, cv2.KMEANS_USE_INITIAL_LABELS))
    _, clusters, centres = min(found, key=lambda one: one[0])
    return np.asarray(centres + middle, np.float32), np.asarray(clusters, np.int64)[:, 0]


def _starts(values: Floats, count: int, rng: np.random.RandomState) -> list[int]:
    """Which values to begin with: apart from each other, the best of a few draws each (Arthur & Vassilvitskii 2007).

    The draws are those of scikit-learn, so that figures agree with it; OpenCV's own starts are less compact.
    """
    chosen = [int(rng.choice(len(values), p=np.full(len(values), 1 / len(values))))]
    nearest = _squared_distances(values[chosen], values)[0]
    for _ in range(1, count):
        drawn = rng.uniform(size=2 + int(np.log(count))) * nearest.sum()
        candidates = np.searchsorted(np.cumsum(nearest), drawn).clip(None, len(values) - 1)
        distances = np.minimum(nearest, _squared_distances(values[candidates], values))
        best = int(distances.sum(1).argmin())
        nearest = distances[best]
        chosen.append(int(candidates[best]))
    return chosen


def _squared_distances(some: Floats, others: Floats) -> NDArray[np.float64]:
    """(N, K), (M, K) -> (N, M)."""
    one, other = some.astype(np.float64), others.astype(np.float64)
    squares = np.square(one).sum(1)[:, None] - 2 * one @ other.T + np.square(other).sum(1)
    return np.maximum(squares, 0)


def gaussian_mixture(descriptors: Floats, count: int, *, seed: int, attempts: int = 1, rounding: float = 0.0) -> Whole:
    """The likeliest cluster (N,) of each descriptor (N, K) in a mixture of Gaussians with covariances of their own.

    The most likely mixture of some attempts, each begun at k-means. rounding: the share of the descriptors' mean
    variance that is added to each covariance's diagonal. Directions lie on a sphere; there a covariance is nearly
    singular, and without it thin clusters lose the points at their borders to wide ones. Raises DataError,
    ParameterError, and MissingExtraError without scikit-learn.
    """
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError:
        raise MissingExtraError(
            f"Gaussian mixtures need scikit-learn; install it: {install_hint('experiments')}"
        ) from None
    values = np.asarray(descriptors, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(f"descriptors are of shape {values.shape}, or not all finite; accepted are finite (N, K)")
    if not 1 <= count <= len(values):
        raise ParameterError(f"{count} clusters of {len(values)} descriptors; accepted is 1 to as many")
    if not 0.0 <= rounding < np.inf:
        raise ParameterError(f"rounding is {rounding}; accepted is 0 and more, 0.1 for directions")
    added = max(1e-6, rounding * float(values.var(0).mean()))
    mixture = GaussianMixture(count, n_init=attempts, random_state=seed, reg_covar=added)
    return np.asarray(mixture.fit_predict(values), np.int64)


def cluster_accuracy(classes: Whole, clusters: Whole) -> float:
    """The share that is right when each cluster is given one class, each class to one cluster at most, at its best.

    The best assignment is found exactly (Kuhn 1955). Raises MissingExtraError without scipy.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise MissingExtraError(f"the best assignment needs scipy; install it: {install_hint('experiments')}") from None
    table = _contingency(classes, clusters)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(classes))


def purity(classes: Whole, clusters: Whole) -> float:
    """The share that is right when each cluster is given its most frequent class; more clusters make it larger."""
    return float(_contingency(classes, clusters).max(0).sum() / len(classes))


def normalized_mutual_information(classes: Whole, clusters: Whole) -> float:
    """Mutual information over the mean of both entropies, 0 to 1 (Strehl & Ghosh 2002)."""
    joint = _contingency(classes, clusters) / len(classes)
    one, other = joint.sum(1), joint.sum(0)
    shared = joint > 0
    information = (joint[shared] * np.log(joint[shared] / np.outer(one, other)[shared])).sum()
    entropies = [-(share * np.log(share)).sum() for share in (one, other)]
    return float(information / np.mean(entropies)) if any(entropies) else 1.0


def adjusted_rand(classes: Whole, clusters: Whole) -> float:
    """Pairs on which both agree, above what chance gives; 1 is best (Hubert & Arabie 1985)."""
    table = _contingency(classes, clusters)
    together, of_classes, of_clusters = (_pairs(counts).sum() for counts in (table, table.sum(1), table.sum(0)))
    expected = of_classes * of_clusters / _pairs(np.array(len(classes), np.float64))
    most = (of_classes + of_clusters) / 2
    return float((together - expected) / (most - expected)) if most != expected else 1.0


def _contingency(classes: Whole, clusters: Whole) -> NDArray[np.float64]:
    """How often each class is in each cluster."""
    _, rows = np.unique(classes, return_inverse=True)
    _, columns = np.unique(clusters, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def _pairs(counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(counts * (counts - 1) / 2, np.float64)


def mean_shift(descriptors: Floats, bandwidth: float, *, seeds: int = 500) -> tuple[Floats, Whole]:
    """Centres (M, K), the fullest first, and the nearest centre (N,) of each descriptor (N, K); a flat kernel.

    Each of some descriptors, evenly taken, climbs to the mean of those within the bandwidth until it rests
    (Comaniciu & Meer 2002); of places closer than the bandwidth the fullest stays. With `seeds` of N or more the
    result is that of scikit-learn.
    """
    values = np.ascontiguousarray(descriptors, np.float32)
    chosen = np.unique(np.linspace(0, len(values) - 1, min(seeds, len(values))).round().astype(int))
    places, full = values[chosen].astype(np.float64), np.zeros(len(chosen), int)
    moving = np.arange(len(places))
    for _ in range(_MOST_CLIMBS):
        near = _squared_distances(places[moving].astype(np.float32), values) <= bandwidth**2
        full[moving] = near.sum(1)
        held = full[moving] > 0  # rounding may leave the only member out
        moving, near = moving[held], near[held]
        means = near.astype(np.float32) @ values / full[moving][:, None]
        far = np.linalg.norm(means - places[moving], axis=1) > 1e-3 * bandwidth
        places[moving] = means
        moving = moving[far]
        if not len(moving):
            break
    order = np.lexsort((*places.T[::-1], full))[::-1]
    places = places[order].astype(np.float32)
    apart = _squared_distances(places, places) > bandwidth**2
    kept: list[int] = []
    for place in range(len(places)):
        if apart[place, kept].all():
            kept.append(place)
    centres = places[kept]
    return centres, _squared_distances(values, centres).argmin(1)
