"""A segmentation network of a model folder, in the precision that is quickest on this machine."""

from __future__ import annotations

import os
import time
from typing import Protocol

import numpy as np

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.devices import CPU, open_engine
from tiae_ros.model.engines.engine import Graph, probe
from tiae_ros.model.folder import NETWORK, NETWORK_INT8, read_folder
from tiae_ros.model.manifest import SEGMENTATION
from tiae_ros.model.shipped import find_model
from tiae_ros.vision.labels import Floats, Labels, Picture
from tiae_ros.vision.segmentation.network import STRIDE, NetworkSegmentation
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_ros.vision.segmentation.settings import SegmentationSettings

METHODS = ("auto", "network", "classical")
SHIPPED = "segmentation"
PRECISIONS = ("auto", "float32", "int8")
_QUICK_WITH_8_BITS = {"avx512_vnni", "avx_vnni"}  # CPU flags: sums of products of 8-bit numbers in one instruction
_GRID = (1, INPUTS, 128, 160)
_TRIALS = 5


class Segmentation(Protocol):
    """What finds hands and what they hold, by a network or without."""

    name: str

    def segment(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """As `NetworkSegmentation.segment`."""
        ...


def choose_segmentation(method: str = "auto", model: str = SHIPPED) -> Segmentation:
    """The segmentation of a method's name: "network" or "auto" is the network, "classical" does without.

    Args:
        method: one of `METHODS`.
        model: the network's folder, or the name of a shipped one; not looked at by "classical".

    Raises:
        ParameterError: an unknown method.
        ModelError: the network cannot be used.
    """
    if method not in METHODS:
        raise ParameterError(f"segmentation {method!r} is unknown; accepted are {', '.join(METHODS)}")
    if method == "classical":
        from tiae_ros.vision.segmentation.classical import ClassicalSegmentation

        return ClassicalSegmentation()
    return load_segmentation(model)


def load_segmentation(
    folder: str | os.PathLike[str], *, precision: str = "auto", threads: int = 1
) -> NetworkSegmentation:
    """Read a segmentation network: a folder, or the name of a shipped model. It runs on the CPU.

    Args:
        folder: a path, or the name of a shipped model.
        precision: ``int8``, ``float32``, or ``auto``: int8 where the CPU has instructions for it (VNNI), else
            whichever takes less time here.
        threads: of the CPU.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    if precision not in PRECISIONS:
        raise ParameterError(f"precision is {precision!r}; accepted are {', '.join(PRECISIONS)}")
    path = os.fspath(folder) if os.path.exists(folder) else find_model(os.fspath(folder))
    content = read_folder(path, SEGMENTATION)
    engine = open_engine(CPU, threads=threads)
    graphs = {}
    for name, file in (("float32", NETWORK), ("int8", NETWORK_INT8)):
        if file in content.files and precision in ("auto", name):
            graphs[name] = engine.open(content, file)
            _check(graphs[name], os.path.join(content.path, file))
    if not graphs:
        raise ModelError(f"{content.path} has no {NETWORK_INT8}; use precision float32 or auto")
    chosen = quickest(graphs)
    whole = " (int8)" if chosen == "int8" else ""
    return NetworkSegmentation(graphs[chosen], f"network {content.manifest.model_id}{whole}")


def quickest(graphs: dict[str, Graph]) -> str:
    """Which of the precisions to take."""
    if "int8" in graphs and (len(graphs) == 1 or _QUICK_WITH_8_BITS & cpu_flags()):
        return "int8"
    return min(graphs, key=lambda name: _seconds(graphs[name]))


def cpu_flags() -> set[str]:
    """What the processor can, as Linux names it; empty where that cannot be read."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def _seconds(graph: Graph) -> float:
    times = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        graph(np.zeros(_GRID, np.float32))
        times.append(time.perf_counter() - started)
    return min(times)


def _check(graph: Graph, file: str) -> None:
    """Raise ModelError unless the graph takes planes of any grid and gives scores of its cells."""
    try:
        for height, width in ((STRIDE, STRIDE), (STRIDE, 2 * STRIDE)):
            told = [part.shape for part in probe(graph, np.zeros((1, INPUTS, height, width), np.float32))]
            if told != [(1, 3, height, width)]:
                raise ModelError(f"gives {told}; needed is [(1, 3, {height}, {width})]")
    except ModelError as error:
        raise ModelError(f"the network of {file} {error}; copy the model folder again") from None
