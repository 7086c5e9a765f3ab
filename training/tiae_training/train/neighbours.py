"""The nearest other patterns of a batch, looked up among the descriptors that all windows had when last seen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CANDIDATES = 3  # of so many nearest ones, one is taken by chance
BEGIN, FULL = 0.3, 0.5  # shares of all steps: neighbours count from the first on, and fully from the second
_AT_ONCE = 1 << 26  # similarities that are looked at together: a quarter of a gigabyte


class Neighbours:
    """A memory of one descriptor for each of N windows.

    A pattern's neighbour stands in for the pattern itself in the contrastive term (Dwibedi et al. 2021, arXiv
    2104.14548). Two deformations of one pattern say that small changes do not matter. A neighbour says that similar
    patterns belong together. So descriptors gather in clusters.

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
        directions = F.normalize(descriptors.detach(), dim=1)
        some = max(1, _AT_ONCE // len(self.memory))
        parts = zip(directions.split(some), rows.split(some), strict=True)
        nearest = torch.cat([self._nearest(part, own) for part, own in parts])
        chosen = torch.randint(nearest.shape[1], (len(rows),), generator=generator).to(rows.device)
        return self.memory[nearest.gather(1, chosen[:, None])[:, 0]]

    def _nearest(self, directions: Tensor, rows: Tensor) -> Tensor:
        """The nearest other windows of some: (B, K), (B,) -> (B, CANDIDATES)."""
        similar = directions @ self.memory.T  # (B, N)
        similar.scatter_(1, rows[:, None], -torch.inf)
        return similar.topk(min(CANDIDATES, similar.shape[1] - 1), 1).indices


def share_at(done: float, most: float) -> float:
    """How much neighbours count in the contrastive term when a share of all steps is done, 0 to `most`."""
    return most * min(1.0, max(0.0, (done - BEGIN) / (FULL - BEGIN)))
