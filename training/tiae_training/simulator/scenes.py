"""Many scenes by several processes: the rows come in the order of the scenes, whoever rendered them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tiae_training.workers import worker_pool

from .simulator import SimulatorSettings

_Extra = TypeVar("_Extra")
_Row = TypeVar("_Row")
_SCENES_PER_BATCH = 64


def rows_of_scenes(
    make: Callable[[tuple[SimulatorSettings, int, _Extra]], list[_Row]],
    settings: SimulatorSettings,
    extra: _Extra,
    workers: int = 1,
) -> Iterator[_Row]:
    """Rows of scene 0, 1, 2 … without end; `make` turns (settings, scene number, extra) into rows."""
    if workers <= 1:
        for jobs in _batches(settings, extra):
            for job in jobs:
                yield from make(job)
    with worker_pool(workers) as pool:
        for jobs in _batches(settings, extra):
            for rows in pool.imap(make, jobs, chunksize=4):
                yield from rows


def _batches(settings: SimulatorSettings, extra: _Extra) -> Iterable[list[tuple[SimulatorSettings, int, _Extra]]]:
    first = 0
    while True:
        yield [(settings, first + number, extra) for number in range(_SCENES_PER_BATCH)]
        first += _SCENES_PER_BATCH
