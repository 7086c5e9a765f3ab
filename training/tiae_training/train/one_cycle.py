"""A learning rate that rises, then falls to nothing (Smith and Topin 2018)."""

from __future__ import annotations

import torch


def one_cycle(optimizer: torch.optim.Optimizer, largest_rate: float, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """PyTorch's, over so many steps: it rises for a fifth of them, and for one at least.

    A rise of none or of a part of a step divides by zero, or begins with the largest rate.
    """
    total = steps + 1
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, largest_rate, total_steps=total, pct_start=max(0.2, 2 / total)
    )
