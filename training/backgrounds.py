"""Backgrounds to put behind patterns: those of the data, or noise where the data brings none; and photographs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tiae_ros.core.transforms import parse_kinds
from tiae_ros.errors import DataError, MissingExtraError
from tiae_training.arrays import ImageArrays
from tiae_training.settings import TrainingSettings

NOISE_PICTURES = 64
# of those inside scikit-image: rooms and things to train before, and others to test before
PHOTOGRAPHS = ("stereo_motorcycle", "coffee", "chelsea", "rocket")
TEST_PHOTOGRAPHS = ("astronaut", "camera")


def background_pool(arrays: ImageArrays, settings: TrainingSettings) -> Tensor | None:
    """What the kind background cuts from: the array `background`, noise without one, None when it is not asked for.

    Raises DataError for an array that does not fit the images.
    """
    if "background" not in parse_kinds(settings.transforms):
        return None
    _, channels, side, _ = arrays.images.shape
    given = arrays.others.get("background")
    if given is None:
        return noise_pictures(NOISE_PICTURES, channels, 4 * side, settings.seed)
    if given.ndim != 4 or not len(given) or given.shape[1] != channels or min(given.shape[2:]) < side:
        raise DataError(
            f"background has shape {given.shape}; accepted is (M, {channels}, H, W) with H and W at least {side}"
        )
    return torch.from_numpy(_unit(given, "background"))


def foreground_masks(arrays: ImageArrays) -> Tensor | None:
    """The array `foreground_mask`, (N, 1, S, S) float 0..1. Raises DataError when it does not fit the images."""
    given = arrays.others.get("foreground_mask")
    if given is None:
        return None
    count, _, height, width = arrays.images.shape
    if given.shape != (count, 1, height, width):
        raise DataError(f"foreground_mask has shape {given.shape}; accepted is ({count}, 1, {height}, {width})")
    return torch.from_numpy(_unit(given.astype(np.uint8) * 255 if given.dtype == bool else given, "foreground_mask"))


def noise_pictures(count: int, channels: int, side: int, seed: int) -> Tensor:
    """Pictures of independent pixels, evenly 0..1: (count, channels, side, side)."""
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def indoor_pictures(names: tuple[str, ...] = PHOTOGRAPHS, *, side: int = 96) -> Tensor:
    """Grey photographs that come inside scikit-image, shrunk by 2 and cut into tiles: (M, 1, side, side).

    A picture that this installation would have to download is left out. Raises DataError when none is there,
    MissingExtraError without scikit-image.
    """
    try:
        import skimage.data
    except ImportError:
        raise MissingExtraError(
            "photographs come with scikit-image; install it: pip install 'tiae_ros[experiments]'"
        ) from None
    tiles = []
    for name in names:
        try:
            picture = getattr(skimage.data, name)()
        except Exception:  # not inside this release: it says so in several ways
            continue
        if isinstance(picture, tuple):  # a stereo pair with its disparity
            picture = picture[0]
        grey = np.asarray(picture, np.float32) / 255.0
        if grey.ndim == 3:
            grey = grey @ np.array([0.299, 0.587, 0.114], np.float32)  # (H, W)
        height, width = (length // 2 * 2 for length in grey.shape)
        grey = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        for top in range(0, grey.shape[0] - side + 1, side):
            for left in range(0, grey.shape[1] - side + 1, side):
                tiles.append(grey[top : top + side, left : left + side])
    if not tiles:
        raise DataError(f"none of the photographs {', '.join(names)} is in this installation of scikit-image")
    return torch.from_numpy(np.stack(tiles)[:, None])


def _unit(values: np.ndarray, name: str) -> np.ndarray:
    """Float32 0..1 of uint8 or float, or DataError."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255.0
    result = values.astype(np.float32)
    if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(result).all():
        raise DataError(f"{name} is {values.dtype}; accepted are uint8 (0–255) and float (0–1)")
    if result.min() < 0.0 or result.max() > 1.0:
        raise DataError(f"{name} lies between {result.min():g} and {result.max():g}; accepted is 0 to 1")
    return result
