"""Data and batches that can be trained on."""

from __future__ import annotations

from tiae_ros.errors import DataError, ParameterError
from tiae_training.data.arrays import WINDOW_SIDES, ImageArrays
from tiae_training.processes import process_count
from tiae_training.train.settings import TrainingSettings

SMALLEST_DATA = 2


def check_trainable(arrays: ImageArrays) -> None:
    """Raise DataError for arrays no network can be trained on."""
    _, _, height, width = arrays.images.shape
    smallest, largest = WINDOW_SIDES
    if height != width or not smallest <= height <= largest:
        raise DataError(f"windows are {width}×{height} pixels; accepted are squares of {smallest} to {largest} pixels")
    if len(arrays) < SMALLEST_DATA:
        raise DataError(f"images hold {len(arrays)} windows; needed are at least {SMALLEST_DATA}")
    if not arrays.images.any():
        raise DataError("every image is blank (all zeros); there is nothing to learn")


def check_held_out(learnt: ImageArrays, held_out: ImageArrays, settings: TrainingSettings) -> None:
    """Raise DataError where holding windows out leaves too few on either side."""
    least = 2 * process_count()
    if min(len(learnt), len(held_out)) < least:
        raise DataError(
            f"validation_fraction {settings.validation_fraction:g} leaves {len(learnt)} windows to learn from and "
            f"holds {len(held_out)} out; needed are at least {least} each"
        )
    check_trainable(learnt)
    check_shares(min(settings.batch_size, len(learnt)))


def check_shares(batch_size: int) -> None:
    """Raise ParameterError for a batch that the processes cannot share evenly."""
    count = process_count()
    if count > 1 and batch_size % (2 * count):  # also its halves: one of them may be treated in another way
        raise ParameterError(
            f"a batch has {batch_size} windows for {count} processes; accepted is a multiple of {2 * count}: "
            f"give --batch-size {max(1, batch_size // (2 * count)) * 2 * count}"
        )
