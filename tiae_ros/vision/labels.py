"""What a labelled frame says of each pixel, and the kinds of arrays that frames are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError

NONE, HAND, OBJECT = 0, 1, 2

Labels = NDArray[np.uint8]  # (H, W) of NONE, HAND (with arm and sleeve), OBJECT (what a hand holds)
Picture = NDArray[np.uint8]  # (H, W, 3) red, green, blue
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def check_images(color: Picture | None, depth_m: Floats) -> None:
    """Raise ImageError unless these are a picture (or None) and its registered depth."""
    if depth_m.ndim != 2 or depth_m.size == 0:
        raise ImageError(f"depth must be (height, width) and not empty, got shape {depth_m.shape}")
    if color is None:
        return
    if color.ndim != 3 or color.shape[2] != 3 or color.dtype != np.uint8:
        raise ImageError(f"colour must be (height, width, 3) uint8, got {color.shape} {color.dtype}")
    check_one_size("colour", color.shape, depth_m)


def check_one_size(name: str, shape: tuple[int, ...], depth_m: Floats) -> None:
    """Raise ImageError unless something that is called so is of the depth's size."""
    if depth_m.ndim != 2 or len(shape) < 2:
        raise ImageError(f"{name} and depth must be (height, width), got shapes {shape} and {depth_m.shape}")
    if shape[:2] != depth_m.shape:
        raise ImageError(
            f"{name} is {shape[1]}x{shape[0]} but depth is {depth_m.shape[1]}x{depth_m.shape[0]}; "
            "both must be of one size"
        )
