"""A window (C, S, S) to look at, in the colours of `tiae_ros.palette`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiae_ros import palette

_MASKS = {"hand_mask": palette.HAND, "object_mask": palette.OBJECT}
_LEAST_LIGHT = 0.4  # of a mask where depth says far


def window_picture(window: NDArray[np.generic], channels: Sequence[str] = ()) -> NDArray[np.uint8]:
    """(C, S, S) uint8 0–255 or float 0–1 -> RGB (S, S, 3).

    The masks have the colours of hand and object; depth is grey, near bright; with both kinds of channels the masks
    tint the depth. Without names, two channels are taken for the masks and three for masks and depth. Of other
    channels, the first three are red, green and blue, and a single one is grey.
    """
    values = np.clip(window.astype(np.float32) / (255.0 if window.dtype == np.uint8 else 1.0), 0.0, 1.0)
    names = known_channels(channels, len(values))
    if not names:
        colours = values[:1].repeat(3, axis=0) if len(values) < 3 else values[:3]
        return np.rint(colours.transpose(1, 2, 0) * 255).astype(np.uint8)
    by_name = dict(zip(names, values, strict=True))
    depth = by_name.get("depth")
    masks = [
        by_name[name][..., None] * np.array(paint, np.float32) for name, paint in _MASKS.items() if name in by_name
    ]
    if not masks:
        assert depth is not None
        return np.rint(depth[..., None].repeat(3, axis=-1) * 255).astype(np.uint8)
    picture = np.sum(masks, axis=0)
    if depth is not None:
        picture = picture * (_LEAST_LIGHT + (1 - _LEAST_LIGHT) * depth[..., None])
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def known_channels(channels: Sequence[str], count: int) -> tuple[str, ...]:
    """The names that decide the colours: those given, or those that two or three channels without names have."""
    if set(channels) <= {*_MASKS, "depth"} and len(channels) == count:
        return tuple(channels)
    unnamed = not channels or all(name.startswith("channel_") for name in channels)
    return {2: ("hand_mask", "object_mask"), 3: ("hand_mask", "object_mask", "depth")}.get(count, ()) if unnamed else ()
