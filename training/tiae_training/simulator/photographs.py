"""Photographs as the far background of pictures: any folder of JPEG or PNG files, cut anew for every picture.

python -m tiae_training.simulator.photographs FOLDER    # those that scikit-image and scikit-learn carry
"""

from __future__ import annotations

import importlib.util
import shutil
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, MissingExtraError, install_hint

_LONGEST_PX = 640  # of a kept photograph; pictures are smaller
SUFFIXES = (".jpg", ".jpeg", ".png")
# package -> its photographs of rooms, things, faces and surfaces; none shows a hand
_CARRIED = {
    "skimage": "data/astronaut.png data/chelsea.png data/coffee.png data/motorcycle_left.png data/rocket.jpg "
    "data/clock_motion.png data/brick.png data/gravel.png data/grass.png data/coins.png",
    "sklearn": "datasets/images/china.jpg datasets/images/flower.jpg",
}


def collect_photographs(folder: Path) -> list[Path]:
    """Copy the photographs that scikit-image and scikit-learn carry. Raises MissingExtraError without them."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for package, names in _CARRIED.items():
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise MissingExtraError(
                f"the photographs come with {package}; install it: {install_hint('train,experiments')}"
            )
        for name in names.split():
            source = Path(found.origin).parent / name
            if source.is_file():  # a release may carry fewer
                copied.append(Path(shutil.copy(source, folder / source.name)))
    return copied


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
