"""A picture of many windows at once, to see at a glance what was cut out of a bag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.drawing import HAND_COLOR, OBJECT_COLOR
from tiae_training.data.arrays import written_whole

COLUMNS, ROWS = 16, 10
_SIDE = 64  # pixels of a window on the sheet
_GAP = 2
_COLOURS = np.array([HAND_COLOR, OBJECT_COLOR], np.float32)
_PAPER = 255


def draw_sheet(images: NDArray[np.generic], channels: Sequence[str]) -> NDArray[np.uint8]:
    """(N, C, S, S) uint8 0–255 or float 0–1 -> RGB (H, W, 3), up to 160 windows in order, evenly from first to last.

    Hand and held thing have the colours of the node's debug image; depth is grey, near bright; with both kinds of
    channels the masks tint the depth.
    """
    shown = np.unique(np.linspace(0, len(images) - 1, min(len(images), COLUMNS * ROWS)).round().astype(int))
    step = _SIDE + _GAP
    columns = min(COLUMNS, len(shown))
    sheet = np.full((-(-len(shown) // columns) * step - _GAP, columns * step - _GAP, 3), _PAPER, np.uint8)
    for place, index in enumerate(shown):
        y, x = (number * step for number in divmod(place, columns))
        picture = _coloured(images[index], channels)
        sheet[y : y + _SIDE, x : x + _SIDE] = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
    return sheet


def write_sheet(path: Path, images: NDArray[np.generic], channels: Sequence[str]) -> None:
    """Write the sheet as a picture, whole or not at all. Raises OutputError."""
    with written_whole(path) as staged:
        staged.write_bytes(cv2.imencode(".png", draw_sheet(images, channels)[..., ::-1])[1].tobytes())


def _coloured(window: NDArray[np.generic], channels: Sequence[str]) -> NDArray[np.uint8]:
    """(C, S, S) -> RGB (S, S, 3)."""
    values = window.astype(np.float32) / (255.0 if window.dtype == np.uint8 else 1.0)
    by_name = dict(zip(channels, values, strict=True))
    depth = by_name.get("depth")
    masks = [by_name[name] for name in ("hand_mask", "object_mask") if name in by_name]
    if not masks:
        assert depth is not None
        return np.rint(depth[..., None].repeat(3, axis=-1) * 255).astype(np.uint8)
    picture = sum(mask[..., None] * colour for mask, colour in zip(masks, _COLOURS, strict=True))
    if depth is not None:
        picture = picture * (0.4 + 0.6 * depth[..., None])
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
