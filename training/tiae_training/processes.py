"""Several processes that compute on shares of one batch, as far as the method itself must know of them.

In a process that is alone nothing here does anything. How they meet and share: `tiae_training.train.distributed`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.distributed as dist
from torch import Tensor

from tiae_ros.errors import TrainingError

TIMEOUT_S = 300.0  # a process that does not answer for so long is given up


class PeerLostError(TrainingError):
    """Another process of this training is gone."""


def process_count() -> int:
    """How many processes share a batch; 1 when this one is alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """This process's number, from 0; the first one writes what is written."""
    return dist.get_rank() if process_count() > 1 else 0


def average(values: Tensor) -> Tensor:
    """The mean over the processes of a tensor of one shape; no gradient."""
    if process_count() == 1:
        return values
    total = values.detach().clone()
    exchange(lambda: dist.all_reduce(total))
    return total / process_count()


def batch_mean(values: Tensor) -> Tensor:
    """The mean over the whole batch, of which every process has an equal share: (N, …) -> (…), no gradient."""
    return average(values.mean(0))


def exchange(action: Callable[[], object]) -> None:
    """Do what all processes do together; PeerLostError when it fails."""
    try:
        action()
    except RuntimeError as error:
        raise PeerLostError(
            f"another process of this training ended, or did not answer for {TIMEOUT_S:g} s "
            f"({' '.join(str(error).split())[:120]}); start the same training again (`tiae train`: with --resume) "
            "to go on"
        ) from error
