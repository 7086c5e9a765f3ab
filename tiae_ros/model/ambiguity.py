"""What may be said of an angle: that it is sure, that it may be half a turn off, or that it means nothing."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

SURE = 0.7  # least share of all angles near the pose's, or near it and its opposite together


class Ambiguity(Enum):
    """Which angles a pattern looks the same at, besides the pose's own."""

    NONE = "none"
    HALF_TURN = "half turn"
    ANY = "any"


def ambiguity(angle_confidence: Any) -> list[Ambiguity]:
    """Of N poses by their angle's confidence (N, 2): how likely it is right, and how likely half a turn off.

    NONE: the angle is right with a likelihood of `SURE` or more. HALF_TURN: it or its opposite is. ANY: neither, as
    with a round pattern, or one that may as well be mirrored; the angle is not to be used.
    """
    right, opposite = np.asarray(angle_confidence, np.float64).reshape(-1, 2).T
    return [_judged(*pair) for pair in zip(right, opposite, strict=True)]


def angle_is_known(angle_confidence: Any) -> NDArray[np.bool_]:
    """Whether each of N angles may be used: (N, 2) -> (N,)."""
    return np.array([found is Ambiguity.NONE for found in ambiguity(angle_confidence)], bool)


def _judged(right: float, opposite: float) -> Ambiguity:
    if right >= SURE:
        return Ambiguity.NONE
    return Ambiguity.HALF_TURN if right + opposite >= SURE else Ambiguity.ANY
