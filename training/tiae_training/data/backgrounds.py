"""Backgrounds to put behind patterns: those of the data, or noise where the data brings none; and photographs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tiae_ros.errors import DataError, MissingExtraError, install_hint
from tiae_training.data.arrays import ImageArrays
from tiae_training.transforms.ranges import parse_kinds

NOISE_PICTURES = 64
# of those inside scikit-image: rooms, things and surfaces to train before, and others to test before
PHOTOGRAPHS = ("stereo_motorcycle", "coffee", "chelsea", "rocket", "clock", "coins", "brick", "gravel")
TEST_PHOTOGRAPHS = ("astronaut", "camera")
TRAINING_SHRINKS = (1, 2, 3)  # near and far
_TONE_GAIN, _TONE_OFFSET = (0.5, 1.5), 0.25  # of other light


def background_pool(arrays: ImageArrays, transforms: str, seed: int) -> Tensor | None:
    """What the kind background cuts from: the array `background`, noise without one, None when it is not asked for.

    Raises DataError for an array that does not fit the images.
    """
    if "background" not in parse_kinds(transforms):
        return None
    _, channels, side, _ = arrays.images.shape
    given = arrays.others.get("background")
    if given is None:
        return noise_pictures(NOISE_PICTURES, channels, 4 * side, seed)
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


def indoor_pictures(names: tuple[str, ...] = PHOTOGRAPHS, *, side: int = 96, shrinks: tuple[int, ...] = (2,)) -> Tensor:
    """Grey photographs that come inside scikit-image, shrunk by each factor and cut into tiles: (M, 1, side, side).

    A picture that this installation would have to download is left out. Raises DataError when none is there,
    MissingExtraError without scikit-image.
    """
    try:
        import skimage.data
    except ImportError:
        raise MissingExtraError(
            f"photographs come with scikit-image; install it: {install_hint('experiments')}"
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
        for shrink in shrinks:
            tiles += _tiles(_shrunk(grey, shrink), side)
    if not tiles:
        raise DataError(f"none of the photographs {', '.join(names)} is in this installation of scikit-image")
    return torch.from_numpy(np.stack(tiles)[:, None])


def varied(pictures: Tensor, seed: int) -> Tensor:
    """Each picture as it is and once more turned by quarters and in other light: (M, C, S, S) -> (2·M, C, S, S).

    Other light: a random gain about mid grey, an offset, and every second one as its negative. A few
    photographs show too few edges and brightnesses; without this, what is bright in them is taken for the pattern.
    """
    generator = torch.Generator().manual_seed(seed)
    low, high = _TONE_GAIN
    again = []
    for number, picture in enumerate(pictures):
        turns = int(torch.randint(0, 4, (1,), generator=generator))
        gain, offset = torch.rand(2, generator=generator).tolist()
        sign = -1.0 if number % 2 else 1.0
        light = sign * (low + (high - low) * gain) * (picture - 0.5) + 0.5 + _TONE_OFFSET * (2.0 * offset - 1.0)
        again.append(torch.rot90(light.clamp(0.0, 1.0), turns, (1, 2)))
    return torch.cat((pictures, torch.stack(again)))


def _shrunk(grey: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of factor × factor pixels."""
    height, width = (length // factor for length in grey.shape)
    blocks = grey[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(blocks.mean((1, 3)))


def _tiles(grey: np.ndarray, side: int) -> list[np.ndarray]:
    """What fits of side × side, without overlap."""
    height, width = grey.shape
    corners = [(top, left) for top in range(0, height - side + 1, side) for left in range(0, width - side + 1, side)]
    return [grey[top : top + side, left : left + side] for top, left in corners]


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
