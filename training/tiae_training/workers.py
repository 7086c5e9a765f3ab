"""Work shared by processes of one machine, or done ahead by a thread: results come in the order of the jobs."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tiae_ros.errors import TrainingError
from tiae_ros.model.engines.onnx_runtime import usual_threads

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def each_in_order(
    make: Callable[[_Job], _Result], jobs: Iterable[_Job], workers: int, ahead: int = 1
) -> Iterator[_Result]:
    """What `make` gives for each job; by this process alone where there is one worker, or one job.

    ahead: so many results may wait to be taken, beside the jobs in work; jobs may be without end.
    Raises TrainingError where a worker is gone.
    """
    count = min(workers, len(jobs)) if isinstance(jobs, Sized) else workers
    if count <= 1:
        yield from map(make, jobs)
        return
    others = set(multiprocessing.active_children())
    # New interpreters, since an OpenGL context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    threads = max(1, usual_threads() // count)
    with _numpy_threads(threads), ProcessPoolExecutor(count, context, _start, (threads,)) as pool:
        coming, futures = iter(jobs), deque[Future[_Result]]()
        try:
            while True:
                for job in itertools.islice(coming, count + ahead - len(futures)):
                    futures.append(pool.submit(make, job))
                if not futures:
                    return
                yield futures.popleft().result()
        except BrokenProcessPool:
            raise TrainingError(
                "a worker process ended before its work was done (killed, or out of memory); start again with fewer "
                "--workers"
            ) from None
        finally:
            if futures:  # nobody waits for what is in work
                for child in set(multiprocessing.active_children()) - others:
                    child.terminate()


def made_ahead(make: Callable[[_Job], _Result], jobs: Iterable[_Job]) -> Iterator[_Result]:
    """What `make` gives for each job, in order: the next one is made by a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        coming: Future[_Result] | None = None
        for job in jobs:
            before, coming = coming, thread.submit(make, job)
            if before is not None:
                yield before.result()
        if coming is not None:
            yield coming.result()


@contextlib.contextmanager
def _numpy_threads(threads: int) -> Iterator[None]:
    """So many in processes that start meanwhile: numpy reads it once, and takes all cores in each without it."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ.setdefault(name, str(threads))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _start(threads: int) -> None:
    import cv2
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupts are the parent's
    cv2.setNumThreads(1)
    torch.set_num_threads(threads)
