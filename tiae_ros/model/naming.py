"""Which name a descriptor gets: a vote of the labelled prototypes that are nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE = -1  # no name
VOTERS = 9
_SHARPNESS = 8.0  # a prototype that lies farther by an eighth of the radius has 1 / e of a vote
_LEAST_LEAD = 0.2  # of all votes, before the name with second most; below it, two names are about as likely


def numbered(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Each name once, in the order in which they first appear, and the number of each of P names among them (P,)."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return tuple(numbers), np.array([numbers[name] for name in names], np.int64)


def voted_labels(distances: NDArray[Any], labels: NDArray[Any], radius: float) -> NDArray[np.int64]:
    """The label with most votes for each of N descriptors, `NONE` where its lead is small or the nearest is too far.

    Votes of a label with few prototypes count as much more, so that all labels are alike.

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
    weights /= np.bincount(labels)[labels[nearest]]
    votes = np.zeros((count, int(labels.max()) + 2))  # one more, so that there is always a second
    np.add.at(votes, (np.arange(count)[:, None], labels[nearest]), weights / weights.sum(axis=1, keepdims=True))
    second, most = np.partition(votes, -2, axis=1)[:, -2:].T
    sure = (least <= radius) & (most - second >= _LEAST_LEAD)
    return np.where(sure, votes.argmax(axis=1), NONE).astype(np.int64)
