"""Many scenes by several processes: the rows come in the order of the scenes, whoever rendered them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from tiae_training.workers import each_in_order

from .simulator import SimulatorSettings

_Extra = TypeVar("_Extra")
_Row = TypeVar("_Row")


def rows_of_scenes(
    make: Callable[[tuple[SimulatorSettings, int, _Extra]], list[_Row]],
    settings: SimulatorSettings,
    extra: _Extra,
    workers: int = 1,
) -> Iterator[_Row]:
    """Rows of scene 0, 1, 2 … without end; `make` turns (settings, scene number, extra) into rows."""
    jobs = ((settings, number, extra) for number in itertools.count())
    for rows in each_in_order(make, jobs, workers, ahead=8 * workers):
        yield from rows
