"""Windows from files -> hands, as the node has them from pictures. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError
from tiae_ros.model.autoencoder import Autoencoder
from tiae_ros.model.hand_pose import HandPose, HandPoseEstimate
from tiae_ros.model.shifts import shift_images
from tiae_ros.vision.detail import CHANNELS, STORED_PX, arm_angles, bring
from tiae_training.data.arrays import ImageArrays

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
_TOUCHING_MM, _APART_MM = 14.0, 30.0  # between the tips of thumb and finger: a pinch for sure, and none


def estimates(
    pose: HandPose, autoencoder: Autoencoder, windows: Floats, details: NDArray[np.uint8], shifts: Whole | None = None
) -> HandPoseEstimate:
    """As `seen_by`, without the descriptors."""
    return seen_by(pose, autoencoder, windows, details, shifts)[0]


def seen_by(
    pose: HandPose, autoencoder: Autoencoder, windows: Floats, details: NDArray[np.uint8], shifts: Whole | None = None
) -> tuple[HandPoseEstimate, Floats]:
    """Hands as the node has them, and descriptors (N, K), of windows (N, C, S, S) under shifts (N, 2), window pixels.

    details: (N, 3, 80, 80) around the windows' middles, or (N, 0, 0, 0). Raises DataError where they are needed.
    """
    moved = np.zeros((len(windows), 2), np.int64) if shifts is None else shifts
    seen = windows if shifts is None else shift_images(windows, shifts)
    described = autoencoder.describe(seen)
    fine = None
    if details.shape[1]:
        found = described.parameters[:, :2]
        middles = (found - moved).astype(np.float32)
        fine = bring(details, middles, arm_angles(seen, found), windows.shape[-1])
    return pose.estimate(seen, described.descriptor, fine), described.descriptor


def pinches_of(tips_mm: Floats) -> Floats:
    """How surely the thumb touches each finger where tips (N, 5, 3) lie so: (N, 4) 0..1, NaN unknown."""
    distance = np.linalg.norm(tips_mm[:, 1:] - tips_mm[:, :1], axis=-1)
    return np.clip((_APART_MM - distance) / (_APART_MM - _TOUCHING_MM), 0, 1).astype(np.float32)


def details_of(arrays: ImageArrays) -> NDArray[np.uint8]:
    """The details of a file, (N, 3, 80, 80); (N, 0, 0, 0) where it has none. Raises DataError for other arrays."""
    given = arrays.others.get("details")
    if given is None:
        return no_details(len(arrays))
    wanted = (len(arrays), CHANNELS, STORED_PX, STORED_PX)
    if given.shape != wanted or given.dtype != np.uint8:
        raise DataError(
            f"{arrays.data_id}: details are {given.dtype} of shape {given.shape}; accepted is uint8 of {wanted}"
        )
    return given


def no_details(count: int) -> NDArray[np.uint8]:
    """What stands for details where there are none."""
    return np.zeros((count, 0, 0, 0), np.uint8)
