"""A picture of many windows at once, to see at a glance what was cut out of a bag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_training.data.arrays import written_whole
from tiae_training.data.window_picture import window_picture

COLUMNS, ROWS = 16, 10
_SIDE = 64  # pixels of a window on the sheet
_GAP = 2
_PAPER = 255


def draw_sheet(images: NDArray[np.generic], channels: Sequence[str]) -> NDArray[np.uint8]:
    """(N, C, S, S) uint8 0–255 or float 0–1 -> RGB (H, W, 3), up to 160 windows in order, evenly from first to last.

    Colours are those of `window_picture`.
    """
    shown = np.unique(np.linspace(0, len(images) - 1, min(len(images), COLUMNS * ROWS)).round().astype(int))
    step = _SIDE + _GAP
    columns = min(COLUMNS, len(shown))
    sheet = np.full((-(-len(shown) // columns) * step - _GAP, columns * step - _GAP, 3), _PAPER, np.uint8)
    for place, index in enumerate(shown):
        y, x = (number * step for number in divmod(place, columns))
        picture = window_picture(images[index], channels)
        sheet[y : y + _SIDE, x : x + _SIDE] = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
    return sheet


def write_sheet(path: Path, images: NDArray[np.generic], channels: Sequence[str]) -> None:
    """Write the sheet as a picture, whole or not at all. Raises OutputError."""
    with written_whole(path) as staged:
        staged.write_bytes(cv2.imencode(".png", draw_sheet(images, channels)[..., ::-1])[1].tobytes())
