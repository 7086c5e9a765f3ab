"""Measures of restored hands and what they hold, for every model whose channels are named as the node's.

hand_iou, object_iou  intersection over union of the restored mask, laid onto the input, and the true mask: pixels at
                      least half covered, mean over windows with at least `FEWEST_PIXELS` of them
depth_error_mm        median of |restored − true| over all pixels of hand and object, laid onto the input; the true
                      depth is the one without sensor noise where the data has it (`clean`)
input_depth_error_mm  the same of what the sensor read
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tiae_ros.vision.window import DEFAULT_RANGE_M, surface_values

FEWEST_PIXELS = 4  # of a mask whose overlap counts
MASKS = {"hand_mask": "hand_iou", "object_mask": "object_iou"}
DEPTH = "depth"
VIEWS_LOOKED_AT = 2

Place = Callable[[np.ndarray], np.ndarray]


def hand_measures(
    place: Place, images: np.ndarray, targets: np.ndarray, channels: Sequence[str], range_m: float = DEFAULT_RANGE_M
) -> dict[str, float]:
    """Measures of the channels that are there; empty when none is named as the node's.

    place: windows (N, C, S, S) -> restored patterns lying on them. images, targets: (V views, N, C, S, S), what is seen
    and what of it is to be restored. range_m: metres from depth value 0 to 1.
    """
    names = list(channels)
    if DEPTH not in names and not set(MASKS) & set(names):
        return {}
    found: dict[str, list[np.ndarray]] = {}
    for seen, true in zip(images[:VIEWS_LOOKED_AT], targets[:VIEWS_LOOKED_AT], strict=True):
        placed, read, wanted = np.clip(place(seen), 0.0, 1.0), seen, true
        for channel, measure in MASKS.items():
            if channel in names:
                index = names.index(channel)
                found.setdefault(measure, []).append(ious(placed[:, index], wanted[:, index]))
        if DEPTH in names:
            index = names.index(DEPTH)
            there = wanted[:, index] > 0
            depth = depth_values(placed, names)
            for measure, values in (("depth_error_mm", depth), ("input_depth_error_mm", read[:, index])):
                found.setdefault(measure, []).append(1000 * range_m * np.abs(values - wanted[:, index])[there])
    return {
        name: float(np.median(values) if name.endswith("_mm") else np.mean(values))
        for name, parts in found.items()
        if len(values := np.concatenate(parts))
    }


def ious(restored: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Of the windows (N, H, W) with a few true pixels: (M,), M <= N."""
    one, other = restored >= 0.5, true >= 0.5
    shown = other.sum((1, 2)) >= FEWEST_PIXELS
    both, either = (one & other).sum((1, 2)), (one | other).sum((1, 2))
    return both[shown] / either[shown]


def depth_values(restored: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """The restored depth values (N, H, W); where masks are restored too, those of the surfaces alone."""
    names = list(channels)
    depth: np.ndarray = restored[:, names.index(DEPTH)]
    cover = [restored[:, names.index(name)] for name in MASKS if name in names]
    return surface_values(depth, sum(cover)) if cover else depth
