"""Work shared by processes of one machine: results come in the order of the jobs, whoever did them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import Pool
from typing import TypeVar

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def worker_pool(count: int) -> Pool:
    """New interpreters, since an OpenGL context does not survive a fork; each of one thread."""
    return multiprocessing.get_context("spawn").Pool(count, _start)


def each_in_order(make: Callable[[_Job], _Result], jobs: Sequence[_Job], workers: int) -> Iterator[_Result]:
    """What `make` gives for each job; by this process alone where there is one worker, or one job."""
    if workers <= 1 or len(jobs) < 2:
        yield from map(make, jobs)
        return
    with worker_pool(workers) as pool:
        yield from pool.imap(make, jobs)


def _start() -> None:
    import cv2
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupts are the parent's
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
