"""Shifts of windows, and the exact minimum over all of them as one cross-correlation, in numpy.

Convention (used everywhere in this project): a shift is ``(dx, dy)`` in pixels, dx to the right, dy down.
``T_s P`` moves the content of ``P`` by ``s``: ``(T_s P)(x, y) = P(x - dx, y - dy)``; what was outside is 0.
The shift of an input ``I`` with restored pattern ``P`` is the one that moves the pattern onto the input,
``I ≈ T_s P``; for the slides' ``θ̂(I) = argmin_θ ‖P − T_θ I‖²`` that is ``s = −θ̂(I)``.

What leaves the window counts as error: windows are compared on an enlarged canvas, where
``‖P − T_{−s} I‖² = ‖P‖² − 2⟨T_s P, I⟩ + ‖I‖²`` for every s. The same with gradients, for training:
`tiae_training.transforms.shifts`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def draw_shifts(count: int, radius: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Uniform whole shifts, (count, 2) in [-radius, radius]; of one seed those that `torch.randint` draws."""
    raw = rng.randint(0, 1 << 32, (count, 2), dtype=np.uint32)
    return raw.astype(np.int64) % (2 * radius + 1) - radius


def shift_images(images: Floats, shifts: NDArray[np.int64]) -> Floats:
    """Move each window by its own whole-pixel shift; zeros come in from outside. (N, C, H, W), (N, 2)."""
    count, _, height, width = images.shape
    rows = np.arange(height) - shifts[:, 1:2]  # (N, H), the source row of each row
    columns = np.arange(width) - shifts[:, 0:1]  # (N, W)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    picked = np.moveaxis(images, 1, 3)[
        np.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]  # (N, H, W, C)
    return np.ascontiguousarray(np.moveaxis(picked * inside[..., None], 3, 1))


def shift_costs(patterns: Floats, images: Floats, radius: int) -> Floats:
    """‖P − T_{−s} I‖² on the enlarged canvas for all whole shifts |dx|, |dy| ≤ radius.

    patterns, images: (N, C, H, W) -> (N, 2·radius+1, 2·radius+1), indexed [dy + radius, dx + radius].
    """
    height, width = images.shape[2:]
    size = height + radius, width + radius  # so that no shift within the radius wraps around
    spectrum = np.fft.rfft2(images, size) * np.conj(np.fft.rfft2(patterns, size))
    products = np.fft.irfft2(spectrum.sum(1), size)  # ⟨T_s P, I⟩ at [dy, dx], negative ones from the end
    steps = np.arange(-radius, radius + 1)
    energy = np.square(patterns).sum((1, 2, 3)) + np.square(images).sum((1, 2, 3))
    costs: Floats = (energy[:, None, None] - 2.0 * products[:, steps[:, None], steps[None, :]]).astype(np.float32)
    return costs


def best_shifts_subpixel(patterns: Floats, images: Floats, radius: int) -> Floats:
    """The shift that moves each pattern onto its image best, below a pixel by parabolas: (N, 2)."""
    costs = shift_costs(patterns, images, radius)
    side = 2 * radius + 1
    lowest = costs.reshape(len(costs), -1).argmin(1)
    y, x = np.divmod(lowest, side)
    inner_y, inner_x = y.clip(1, side - 2), x.clip(1, side - 2)  # on the rim there is no outer neighbour: stay there
    sample = np.arange(len(costs))
    middle = costs[sample, inner_y, inner_x]
    offset_x = _vertex(costs[sample, inner_y, inner_x - 1], middle, costs[sample, inner_y, inner_x + 1])
    offset_y = _vertex(costs[sample, inner_y - 1, inner_x], middle, costs[sample, inner_y + 1, inner_x])
    found = np.stack((x + offset_x * (x == inner_x), y + offset_y * (y == inner_y)), 1) - radius
    return found.astype(np.float32)


def _vertex(left: Floats, middle: Floats, right: Floats) -> Floats:
    """Where the parabola through three equidistant values has its minimum, within half a step of the middle."""
    curvature = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / np.maximum(curvature, 1e-12)
    return offset.clip(-0.5, 0.5).astype(np.float32)
