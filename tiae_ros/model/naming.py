"""Which name a descriptor gets: a vote of the labelled prototypes that are nearest to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE = -1  # no name
VOTERS = 9
_SHARPNESS = 8.0  # a prototype that lies farther by an eighth of the radius has 1 / e of a vote
_LEAST_SHARE = 0.4  # of the votes; below it, two names are about as likely


def voted_labels(distances: NDArray[Any], labels: NDArray[Any], radius: float) -> NDArray[np.int64]:
    """The label with most votes for each of N descriptors, `NONE` where it has too few or the nearest is too far.

    Args:
        distances: (N, P) from each descriptor to each prototype.
        labels: (P,) of the prototypes, 0 and above.
        radius: a descriptor farther than this from every prototype has no name.
    """
    count, known = distances.shape
    if not known:
        return np.full(count, NONE, np.int64)
    voters = min(VOTERS, known)
    nearest = np.argpartition(distances, voters - 1, axis=1)[:, :voters]
    away = np.take_along_axis(distances, nearest, axis=1).astype(np.float64)
    least = away.min(axis=1)
    weights = np.exp(-_SHARPNESS * (away - least[:, None]) / max(radius, np.finfo(np.float32).tiny))
    shares = np.zeros((count, int(labels.max()) + 1))
    np.add.at(shares, (np.arange(count)[:, None], labels[nearest]), weights / weights.sum(axis=1, keepdims=True))
    best = shares.argmax(axis=1)
    sure = (least <= radius) & (shares.max(axis=1) >= _LEAST_SHARE)
    return np.where(sure, best, NONE).astype(np.int64)
