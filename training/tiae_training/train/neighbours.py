"""The nearest other patterns of a batch, looked up among the descriptors that all windows had when last seen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CANDIDATES = 3  # of so many nearest ones, one is taken by chance
BEGIN, FULL = 0.3, 0.5  # shares of a training's steps: until the first neighbours mean little; they count fully later


class Neighbours:
    """A memory of one descriptor for each of N windows.

    A pattern's neighbour stands in for the pattern itself in the contrastive term (Dwibedi et al. 2021, arXiv
    2104.14548): two deformations of one pattern say that small changes do not matter, neighbours of neighbours that
    all which shapes have in common belongs together, so that descriptors gather in clusters.

    Attributes:
        memory: directions of descriptors, (N, K); 0 for a window that was not seen yet.
    """

    def __init__(self, count: int, descriptor_size: int, device: torch.device) -> None:
        self.memory = torch.zeros(count, descriptor_size, device=device)

    def remember(self, rows: Tensor, descriptors: Tensor) -> None:
        """Keep what windows (B,) are described by now, (B, K)."""
        self.memory[rows] = F.normalize(descriptors.detach(), dim=1)

    def near(self, rows: Tensor, descriptors: Tensor, generator: torch.Generator) -> Tensor:
        """For each of windows (B,) with descriptors (B, K) the direction of another one that is near, (B, K)."""
        similar = F.normalize(descriptors.detach(), dim=1) @ self.memory.T  # (B, N)
        each = torch.arange(len(rows), device=rows.device)
        similar[each, rows] = -torch.inf
        nearest = similar.topk(min(CANDIDATES, similar.shape[1] - 1), 1).indices
        chosen = torch.randint(nearest.shape[1], (len(rows),), generator=generator).to(rows.device)
        return self.memory[nearest[each, chosen]]


def share_at(done: float, most: float) -> float:
    """How much neighbours count in the contrastive term when a share of all steps is done, 0 to `most`."""
    return most * min(1.0, max(0.0, (done - BEGIN) / (FULL - BEGIN)))
