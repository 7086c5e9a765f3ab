"""Photographs as the far background of pictures: any folder of JPEG or PNG files, cut anew for every picture."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError

_LONGEST_PX = 640  # of a kept photograph; pictures are smaller
SUFFIXES = (".jpg", ".jpeg", ".png")


@lru_cache(maxsize=2)
def load_photographs(folder: str) -> tuple[NDArray[np.uint8], ...]:
    """All photographs of a folder in the order of their names, rgb."""
    files = sorted(file for file in Path(folder).glob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no photographs; accepted are files that end in {', '.join(SUFFIXES)}")
    pictures = []
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError(f"{file} cannot be read as a picture")
        scale = min(1.0, _LONGEST_PX / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pictures.append(np.ascontiguousarray(small[..., ::-1]))
    return tuple(pictures)


def hang_photograph(
    rgb: NDArray[np.uint8], where: NDArray[np.bool_], folder: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture with a piece of a photograph where `where` is set."""
    photographs = load_photographs(folder)
    photograph = photographs[int(rng.integers(len(photographs)))]
    height, width = rgb.shape[:2]
    rows, columns = photograph.shape[:2]
    largest = min(rows / height, columns / width)
    size = largest * rng.uniform(0.4, 1.0)
    top, left = rng.uniform(0, rows - size * height), rng.uniform(0, columns - size * width)
    piece = photograph[int(top) : int(top + size * height) + 1, int(left) : int(left + size * width) + 1]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    backdrop = cv2.resize(np.ascontiguousarray(piece), (width, height), interpolation=cv2.INTER_AREA)
    return np.where(where[..., None], backdrop, rgb)
