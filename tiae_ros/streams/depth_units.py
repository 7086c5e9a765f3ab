"""Depth that is in another unit than it should be looks like a room without hands; here is how it is noticed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MILLIMETRE_M = 0.001

_EVERY = 4  # rows and columns looked at
_SHARE = 0.001  # fewer readings than this are noise
_TOO_NEAR_M = 0.1  # no depth camera sees a hand so near


def question_unit(
    depth_m: NDArray[np.float32], encoding: str, *, depth_max_m: float, unit_m: float = MILLIMETRE_M
) -> str | None:
    """One line when depth (H, W; NaN = nothing) cannot show a hand, with the likely cause; None when it can.

    Args:
        encoding: of the message, or the format of a compressed one.
        depth_max_m: what is farther away is no hand.
        unit_m: what one step of 16-bit depth was taken for.
    """
    seen = depth_m[::_EVERY, ::_EVERY]
    readings = np.count_nonzero(seen == seen)
    if not readings:
        return None
    with np.errstate(invalid="ignore"):
        near, too_near = np.count_nonzero(seen < depth_max_m), np.count_nonzero(seen < min(_TOO_NEAR_M, depth_max_m))
    if encoding.startswith("32FC1"):
        cause = "32FC1 is not in metres (millimetres must be divided by 1000)"
    else:
        cause = f"one step of {encoding.partition(';')[0]} is not {unit_m:g} m (depth_unit_m)"
    if near <= _SHARE * readings:
        values = np.sort(seen[seen == seen])
        nearest = float(values[min(len(values) - 1, int(_SHARE * len(values)) + 1)])
        return (
            f"no depth reading is nearer than {depth_max_m:g} m (depth_max_m), the nearest is {nearest:.3g} m: "
            f"nothing is within reach, or {cause}"
        )
    if too_near == readings:
        return f"no depth reading is farther than {float(np.nanmax(seen)):.3g} m: the view is blocked, or {cause}"
    return None
