"""What finds hands, by its name; a segmentation network of a model folder, in the precision that is quickest here."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.engines.engine import Graph, probe
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime
from tiae_ros.model.folder import NETWORK, NETWORK_INT8, read_folder, read_manifest
from tiae_ros.model.manifest import DETECTOR, SEGMENTATION
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL, find_model
from tiae_ros.model.trial import try_graphs
from tiae_ros.vision.segmentation.network import NetworkSegmentation
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_ros.vision.segmentation.settings import STRIDE
from tiae_ros.vision.sight import Segmentation

METHODS = ("auto", "network", "classical")
PRECISIONS = ("auto", "float32", "int8")
QUICK_WITH_8_BITS = {"avx512_vnni", "avx_vnni"}  # CPU flags: sums of products of 8-bit numbers in one instruction
_FILES = {"float32": NETWORK, "int8": NETWORK_INT8}
_AGREEING = 0.98  # share of a noisy grid's cells that both precisions are to put into one class
_GRID = (1, INPUTS, 128, 160)
_TRIALS = 5


def choose_segmentation(
    method: str = "auto", model: str | os.PathLike[str] = DEFAULT_SEGMENTATION_MODEL, *, precision: str = "auto"
) -> Segmentation:
    """The segmentation of a method's name: "network" or "auto" is a model, "classical" does without.

    Args:
        method: one of `METHODS`.
        model: the folder of a segmentation or a detector, or the name of a shipped one; not looked at by "classical".
        precision: as `load_segmentation`; not looked at by "classical".

    Raises:
        ParameterError: an unknown method or precision.
        ModelError: the network cannot be used.
    """
    if method not in METHODS:
        raise ParameterError(f"segmentation {method!r} is unknown; accepted are {', '.join(METHODS)}")
    if method == "classical":
        from tiae_ros.vision.segmentation.classical import ClassicalSegmentation

        return ClassicalSegmentation()
    kind = read_manifest(find_model(model)).kind
    if kind not in (SEGMENTATION, DETECTOR):
        raise ModelError(
            f"{find_model(model)} holds a model of kind {kind}; needed here is one of kind segmentation or detector"
        )
    if kind == DETECTOR:
        from tiae_ros.model.hand_detector import load_detector

        return load_detector(model, precision=precision)
    return load_segmentation(model, precision=precision)


def load_segmentation(
    folder: str | os.PathLike[str], *, precision: str = "auto", threads: int = 1
) -> NetworkSegmentation:
    """Read a segmentation network: a folder, or the name of a shipped model. It runs on the CPU.

    Args:
        folder: a path, or the name of a shipped model.
        precision: ``int8``, ``float32``, or ``auto``: int8 where the CPU has instructions for it (VNNI), elsewhere
            where it takes less time and says the same.
        threads: of the CPU.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    if precision not in PRECISIONS:
        raise ParameterError(f"precision is {precision!r}; accepted are {', '.join(PRECISIONS)}")
    content = read_folder(find_model(folder), SEGMENTATION)
    for name in filter(content.files.__contains__, (NETWORK, NETWORK_INT8)):
        try_graphs(content, [name], _GRID)
    engine = OnnxRuntime("cpu", threads=threads)
    wanted = ("float32", "int8") if precision == "auto" else (precision,)
    if precision == "auto" and NETWORK_INT8 in content.files and QUICK_WITH_8_BITS & cpu_flags():
        wanted = ("int8",)
    graphs = {}
    for name in wanted:
        if _FILES[name] in content.files:
            graphs[name] = engine.open(content, _FILES[name])
            _check(graphs[name], os.path.join(content.path, _FILES[name]))
    if not graphs:
        raise ModelError(f"{content.path} has no {NETWORK_INT8}; use precision float32 or auto")
    chosen = quickest(graphs, _GRID)
    return NetworkSegmentation(graphs[chosen], f"network {content.manifest.model_id} ({chosen})")


def quickest(graphs: dict[str, Graph], shape: Sequence[int], deviation: float = 1.0) -> str:
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


def _check(graph: Graph, file: str) -> None:
    """Raise ModelError unless the graph takes planes of any grid and gives scores of its cells."""
    try:
        for height, width in ((STRIDE, STRIDE), (STRIDE, 2 * STRIDE)):
            told = [part.shape for part in probe(graph, np.zeros((1, INPUTS, height, width), np.float32))]
            if told != [(1, 3, height, width)]:
                raise ModelError(f"gives {told}; needed is [(1, 3, {height}, {width})]")
    except ModelError as error:
        raise ModelError(f"the network of {file} {error}; copy the model folder again") from None
