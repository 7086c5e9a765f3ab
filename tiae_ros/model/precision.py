"""In which numbers the networks of a model run that has its graphs in float32 and in whole numbers of 8 bits."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from tiae_ros.model.engines.engine import Graph

PRECISIONS = ("auto", "float32", "int8")
QUICK_WITH_8_BITS = {"avx512_vnni", "avx_vnni"}  # CPU flags: sums of products of 8-bit numbers in one instruction
_AGREEING = 0.98  # share of a noisy picture's cells that both precisions are to put into one class
_TRIALS = 5


def quickest(graphs: dict[str, Graph], shape: Sequence[int], deviation: float) -> str:
    """Which of the precisions to take: int8 where it is quicker, and its sums are not cut off as on some older CPUs.

    graphs give class scores first; they are tried on noise of a shape, of this standard deviation.
    """
    if len(graphs) == 1:
        return next(iter(graphs))
    seconds = {name: _seconds(graph, shape) for name, graph in graphs.items()}
    noise = np.random.default_rng(0).normal(0, deviation, shape).astype(np.float32)
    exact, rough = (graphs[name](noise)[0].argmax(1) for name in ("float32", "int8"))
    return "int8" if seconds["int8"] < seconds["float32"] and (exact == rough).mean() > _AGREEING else "float32"


def cpu_flags() -> set[str]:
    """What the processor can, as Linux names it; empty where that cannot be read."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def _seconds(graph: Graph, shape: Sequence[int]) -> float:
    times = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        graph(np.zeros(shape, np.float32))
        times.append(time.perf_counter() - started)
    return min(times)
