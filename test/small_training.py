"""Small patterns, settings and trainings that several test files share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tiae_training.data.arrays import ImageArrays
from tiae_training.train.folder import prepare_run
from tiae_training.train.settings import TrainingSettings

SMALL = TrainingSettings(shift_radius_px=3, epochs=6, batch_size=32, descriptor_size=8, precision="float32")


def small(**changes: Any) -> TrainingSettings:
    """`SMALL` with changes; another list of transforms brings its own default network and targets."""
    defaults: dict[str, Any] = {"network": "", "whole_targets": None} if "transforms" in changes else {}
    return dataclasses.replace(SMALL, **defaults | changes)


def patterns(count: int = 240, seed: int = 0) -> ImageArrays:
    """Three kinds of figures (bar, ring, corner) of varied size in the middle of 16×16 windows."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 1, 16, 16), np.float32)
    labels = np.arange(count) % 3
    for image, label in zip(images[:, 0], labels, strict=True):
        size = rng.integers(2, 4)
        low, high = 8 - size, 8 + size
        if label == 0:
            image[7:9, low:high] = 1.0
        elif label == 1:
            image[low:high, low:high] = 1.0
            image[low + 1 : high - 1, low + 1 : high - 1] = 0.0
        else:
            image[low:high, low] = image[high - 1, low:high] = 1.0
    return ImageArrays(images=images, labels=labels, channels=("figure",), data_id=f"patterns {seed}")


def run_training(folder: Path, settings: TrainingSettings = SMALL, arrays: ImageArrays | None = None, **options: Any):
    """Train on `patterns`, or on other arrays; the torch model."""
    from tiae_training.train.run import train

    prepare_run(folder, resume=options.get("resume", False), overwrite=False)
    return train(patterns() if arrays is None else arrays, settings, folder, **options)


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def interrupt(now: bool) -> None:
    if now:
        raise KeyboardInterrupt


def blob(size: int = 32):
    """A smooth, lopsided pattern in the middle of a window: (1, 1, S, S) tensor."""
    import torch

    axis = torch.arange(size) - (size - 1) / 2
    y, x = axis[:, None], axis[None, :]
    image = torch.exp(-((x - 3) ** 2 / 8 + y**2 / 18)) + 0.7 * torch.exp(-((x + 2) ** 2 + (y - 4) ** 2) / 6)
    return image[None, None]
