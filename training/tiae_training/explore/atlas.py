"""Where windows lie in the space of descriptors: the axes in which they differ most, clusters, perhaps a t-SNE map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import MissingExtraError, install_hint
from tiae_training.clusters import adjusted_rand, mean_shift, normalized_mutual_information

Floats = NDArray[np.float32]

AXES = 8  # principal components with a slider and a place on the map
QUANTILES = (
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
)  # of distances between windows: bandwidths to choose from
USUAL = 3  # of them
FEWEST_MEMBERS = 5  # a cluster of fewer is drawn as none
_PAIRS = 200_000


@dataclass(frozen=True)
class Axes:
    """Principal components: mean (K,), directions (A, K) of length 1, spreads (A,), and shares (A,) of the variance."""

    mean: Floats
    directions: Floats
    spreads: Floats
    shares: Floats

    def places(self, descriptors: Floats) -> Floats:
        """(N, K) -> (N, A)."""
        return np.asarray((descriptors - self.mean) @ self.directions.T, np.float32)


@dataclass(frozen=True)
class Clustering:
    """Mean-shift clusters at one bandwidth: of each window its cluster, or -1; centres (M, K).

    agreement: with the labels (nmi, ari), where there are some.
    """

    bandwidth: float
    centres: Floats
    clusters: NDArray[np.int64]
    agreement: dict[str, float]


def principal_axes(descriptors: Floats, count: int = AXES) -> Axes:
    """The axes in which descriptors (N, K) vary most, at most `count`, each with its largest number positive."""
    mean = descriptors.mean(0)
    _, singular, directions = np.linalg.svd((descriptors - mean).astype(np.float64), full_matrices=False)
    variances = np.square(singular) / max(1, len(descriptors) - 1)
    count = min(count, len(variances))
    directions = directions[:count]
    signs = np.sign(directions[np.arange(count), np.abs(directions).argmax(1)])
    return Axes(
        mean.astype(np.float32),
        (directions * np.where(signs == 0, 1, signs)[:, None]).astype(np.float32),
        np.sqrt(variances[:count]).astype(np.float32),
        (variances[:count] / max(variances.sum(), 1e-12)).astype(np.float32),
    )


def clusterings(descriptors: Floats, labels: NDArray[Any] | None) -> list[Clustering]:
    """Mean-shift clusters at bandwidths from narrow to wide."""
    rng = np.random.RandomState(0)
    pairs = rng.randint(len(descriptors), size=(2, _PAIRS))
    apart = np.linalg.norm(descriptors[pairs[0]] - descriptors[pairs[1]], axis=1)[pairs[0] != pairs[1]]
    if not len(apart) or not apart.max() > 0:  # one window, or all alike
        return [Clustering(0.0, descriptors[:1], np.zeros(len(descriptors), np.int64), {})]
    found = []
    for bandwidth in np.unique(np.quantile(apart[apart > 0], QUANTILES)):
        centres, nearest = mean_shift(descriptors, float(bandwidth))
        counts = np.bincount(nearest, minlength=len(centres))
        numbers = np.full(len(centres), -1)
        order = np.argsort(-counts, kind="stable")
        large = order[counts[order] >= min(FEWEST_MEMBERS, len(descriptors))]
        numbers[large] = np.arange(len(large))
        clusters = numbers[nearest]
        agreement = {}
        if labels is not None and len(large):
            told = clusters >= 0
            agreement = {
                "nmi": normalized_mutual_information(labels[told], clusters[told]),
                "ari": adjusted_rand(labels[told], clusters[told]),
            }
        found.append(Clustering(float(bandwidth), centres[large], clusters, agreement))
    return found


def neighbour_map(descriptors: Floats) -> Floats:
    """(N, K) -> (N, 2) in which neighbours stay neighbours (t-SNE). Raises MissingExtraError without scikit-learn."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise MissingExtraError(
            f"--map tsne needs scikit-learn; install it: {install_hint('experiments')}, or use --map pca"
        ) from None
    perplexity = min(30.0, max(1.0, (len(descriptors) - 1) / 3))
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(descriptors)
    return np.asarray(places, np.float32)
