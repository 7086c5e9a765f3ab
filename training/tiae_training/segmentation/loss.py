"""The loss of a segmentation network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

HARD_NEGATIVE_CELLS = 100  # about as many as a hand has at arm's length


def loss_of(scores: Tensor, labels: Tensor, hard_negative_weight: float = 0.0) -> Tensor:
    """Cross-entropy plus 1 - Dice of hand and held thing, over the batch.

    hard_negative_weight: of the cross-entropy of the cells that look most like a hand in pictures without one. Among
    the thousands of cells that are rightly nothing, the hundred that make a false window hardly count.
    """
    weight = torch.tensor([1.0, 1.2, 2.0], dtype=scores.dtype)
    entropy = F.cross_entropy(scores, labels, weight=weight)
    shares = torch.softmax(scores, dim=1)
    dice = []
    for value in (1, 2):
        true = (labels == value).to(scores.dtype)
        share = shares[:, value]
        dice.append((2 * (share * true).sum() + 1) / (share.sum() + true.sum() + 1))
    total = entropy + 0.5 * (1 - dice[0]) + 0.5 * (1 - dice[1])
    empty = (labels == 0).flatten(1).all(1)
    if hard_negative_weight and bool(empty.any()):
        likeliest = shares[empty, 1].flatten(1).topk(HARD_NEGATIVE_CELLS, dim=1).values
        total = total - hard_negative_weight * torch.log1p(-likeliest.clamp_max(1 - 1e-6)).mean()
    return total
