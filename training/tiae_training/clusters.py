"""Clusters of descriptors, and how well they agree with classes; by OpenCV and numpy, on a robot too."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

_ITERATIONS, _STEP = 300, 1e-4


def k_means(descriptors: Floats, count: int, *, seed: int, attempts: int = 1) -> tuple[Floats, Whole]:
    """Centres (count, K) and the cluster (N,) of each descriptor (N, K): the most compact of some attempts.

    Starts are chosen apart from each other (k-means++, Arthur & Vassilvitskii 2007).
    """
    cv2.setRNGSeed(seed % (1 << 31))
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ITERATIONS, _STEP)
    values = np.ascontiguousarray(descriptors, np.float32)
    _, clusters, centres = cv2.kmeans(values, count, None, criteria, attempts, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return np.asarray(centres, np.float32), np.asarray(clusters, np.int64)[:, 0]


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
