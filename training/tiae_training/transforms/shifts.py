"""Shifts of windows with gradients, and the exact minimum over all of them as one cross-correlation.

Convention, and why what leaves the window counts as error: `tiae_ros.model.shifts`, which has the same without torch.
Otherwise the minimum over s would push the pattern out of the window for free, and training would collapse to one
nearly black picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def draw_shifts(count: int, radius: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """Uniform integer shifts, (count, 2) int64 in [-radius, radius].

    Drawn on the generator's device (a CPU, so that a seed means the same everywhere), then moved.
    """
    return torch.randint(-radius, radius + 1, (count, 2), generator=generator).to(device)


def shift_images(images: Tensor, shifts: Tensor) -> Tensor:
    """Move each window by its own whole-pixel shift; zeros come in from outside.

    images: (N, C, H, W); shifts: (N, 2) integers (dx right, dy down) -> (N, C, H, W).
    """
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) - shifts[:, 1:2]  # (N, H) source row of each row
    columns = torch.arange(width, device=images.device) - shifts[:, 0:1]  # (N, W)
    inside_rows = (rows >= 0) & (rows < height)
    inside_columns = (columns >= 0) & (columns < width)
    rows = rows.clamp(0, height - 1)[:, None, :, None].expand(count, channels, height, width)
    columns = columns.clamp(0, width - 1)[:, None, None, :].expand(count, channels, height, width)
    moved = images.gather(2, rows).gather(3, columns)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return moved * inside


def shift_images_subpixel(images: Tensor, shifts: Tensor) -> Tensor:
    """Move each window by its own real-valued shift with bilinear interpolation; zeros come in from outside.

    images: (N, C, H, W); shifts: (N, 2) float (dx right, dy down) -> (N, C, H, W). Differentiable in both.
    """
    height, width = images.shape[2:]
    rows, columns = (
        (2 * torch.arange(size, device=images.device, dtype=shifts.dtype) + 1) / size - 1 for size in (height, width)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")  # -1 and 1 are the picture's outer edges
    per_pixel = shifts.new_tensor((2.0 / width, 2.0 / height))
    grid = torch.stack((x, y), 2) - (shifts * per_pixel)[:, None, None, :]  # (N, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def correlate(patterns: Tensor, images: Tensor, radius: int) -> Tensor:
    """⟨T_s P, I⟩ for all whole shifts |dx|, |dy| ≤ radius, as one depthwise convolution.

    patterns, images: (N, C, H, W) -> (N, 2·radius+1, 2·radius+1), indexed [dy + radius, dx + radius].
    One group per window *and channel*, summed afterwards: with several channels in a group the CPU libraries leave
    their depthwise kernels and take a hundred times as long (two channels, batch 256: 1,150 instead of 15 ms).
    """
    count, channels, height, width = images.shape
    padded = F.pad(images, (radius, radius, radius, radius))
    flat = padded.reshape(1, count * channels, height + 2 * radius, width + 2 * radius)
    kernels = patterns.reshape(count * channels, 1, height, width)
    side = 2 * radius + 1
    return F.conv2d(flat, kernels, groups=count * channels).view(count, channels, side, side).sum(1)


def shift_costs(patterns: Tensor, images: Tensor, radius: int) -> Tensor:
    """‖P − T_{−s} I‖² on the enlarged canvas for all whole shifts s; shape and index as `correlate`."""
    energy = patterns.square().sum((1, 2, 3)) + images.square().sum((1, 2, 3))
    return energy[:, None, None] - 2.0 * correlate(patterns, images, radius)


def best_shifts(patterns: Tensor, images: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """The whole shift that moves each pattern onto its image best, and its cost: (N, 2) int64, (N,)."""
    costs = shift_costs(patterns, images, radius)
    return _argmin_shifts(costs, radius)


def best_shifts_subpixel(patterns: Tensor, images: Tensor, radius: int) -> Tensor:
    """As `best_shifts`, refined below a pixel by a parabola through the minimum and its neighbours: (N, 2) float."""
    costs = shift_costs(patterns, images, radius)
    whole, _ = _argmin_shifts(costs, radius)
    side = 2 * radius + 1
    if side < 3:
        return whole.to(costs.dtype)
    index = (whole + radius).clamp(1, side - 2)  # a minimum on the rim has no outer neighbour: stay on it
    sample = torch.arange(len(costs), device=costs.device)
    x, y = index[:, 0], index[:, 1]
    middle = costs[sample, y, x]
    offset_x = _parabola_minimum(costs[sample, y, x - 1], middle, costs[sample, y, x + 1])
    offset_y = _parabola_minimum(costs[sample, y - 1, x], middle, costs[sample, y + 1, x])
    refined = torch.stack((x + offset_x, y + offset_y), 1) - radius
    return torch.where(index == whole + radius, refined, whole.to(costs.dtype))


def _argmin_shifts(costs: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    lowest, index = costs.flatten(1).min(1)
    side = 2 * radius + 1
    return torch.stack((index % side - radius, index // side - radius), 1), lowest


def _parabola_minimum(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """Where the parabola through three equidistant values has its minimum, within half a step of the middle."""
    curvature = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / curvature.clamp_min(1e-12)
    return offset.clamp(-0.5, 0.5)
