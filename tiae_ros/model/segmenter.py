"""What finds hands in a picture: the two networks of a model folder, or the classical method."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.engines.engine import Graph, probe
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime
from tiae_ros.model.folder import CLOSE_UP, CLOSE_UP_INT8, PROPOSALS, PROPOSALS_INT8, ModelFolder, read_folder
from tiae_ros.model.manifest import SEGMENTATION
from tiae_ros.model.shipped import find_model
from tiae_ros.model.trial import try_graphs
from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.detector import HandDetector
from tiae_ros.vision.labels import Floats, Labels, Picture
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import FoundHand, Sight

METHODS = ("auto", "network", "classical")
SHIPPED = "segmentation"
PRECISIONS = ("auto", "float32", "int8")
CALIBRATION = "confidence"  # of the preprocessing: slope and offset from the logit of "is a hand" to the confidence's
_QUICK_WITH_8_BITS = {"avx512_vnni", "avx_vnni"}  # CPU flags: sums of products of 8-bit numbers in one instruction
_FILES = {"float32": (PROPOSALS, CLOSE_UP), "int8": (PROPOSALS_INT8, CLOSE_UP_INT8)}
_TRIED = (  # shapes of either graph's input
    (1, proposals.PLANES, 192, proposals.GRID),
    (6, close_up.PLANES, close_up.CELLS, close_up.CELLS),
)
_AGREEING = 0.98  # share of a noisy crop's cells that both precisions are to put into one class
_TRIALS = 5


class Segmentation(Protocol):
    """What finds hands and what they hold, by networks or without."""

    name: str

    def segment(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """As `HandDetector.segment`."""
        ...

    def see(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
        metric_size_m: float = 0.30,
        before: Sequence[FoundHand] = (),
    ) -> Sight:
        """As `HandDetector.see`."""
        ...


def choose_segmentation(method: str = "auto", model: str = SHIPPED) -> Segmentation:
    """The segmentation of a method's name: "network" or "auto" is the detector, "classical" does without.

    Args:
        method: one of `METHODS`.
        model: the detector's folder, or the name of a shipped one; not looked at by "classical".

    Raises:
        ParameterError: an unknown method.
        ModelError: the detector cannot be used.
    """
    if method not in METHODS:
        raise ParameterError(f"segmentation {method!r} is unknown; accepted are {', '.join(METHODS)}")
    if method == "classical":
        from tiae_ros.vision.segmentation.classical import ClassicalSegmentation

        return ClassicalSegmentation()
    return load_segmentation(model)


def load_segmentation(folder: str | os.PathLike[str], *, precision: str = "auto", threads: int = 1) -> HandDetector:
    """Read a hand detector: a folder, or the name of a shipped model. It runs on the CPU.

    Args:
        folder: a path, or the name of a shipped model.
        precision: ``int8``, ``float32``, or ``auto``: int8 where the CPU has instructions for it (VNNI), elsewhere
            where it takes less time and says the same.
        threads: of the CPU.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    if precision not in PRECISIONS:
        raise ParameterError(f"precision is {precision!r}; accepted are {', '.join(PRECISIONS)}")
    content = read_folder(find_model(os.fspath(folder)), SEGMENTATION)
    for names, shape in zip(zip(*_FILES.values(), strict=True), _TRIED, strict=True):
        for name in filter(content.files.__contains__, names):
            try_graphs(content, [name], shape)
    engine = OnnxRuntime("cpu", threads=threads)
    has_int8 = all(name in content.files for name in _FILES["int8"])
    wanted: tuple[str, ...] = ("float32", "int8") if precision == "auto" else (precision,)
    if precision == "auto" and has_int8 and _QUICK_WITH_8_BITS & cpu_flags():
        wanted = ("int8",)
    if not has_int8:
        if precision == "int8":
            raise ModelError(
                f"{content.path} has no {PROPOSALS_INT8} and {CLOSE_UP_INT8}; use precision float32 or auto"
            )
        wanted = ("float32",)
    pairs = {name: _opened(engine, content, _FILES[name]) for name in wanted}
    chosen = quickest({name: look for name, (_, look) in pairs.items()})
    first, second = pairs[chosen]
    return HandDetector(first, second, f"network {content.manifest.model_id} ({chosen})", calibration_of(content))


def calibration_of(content: ModelFolder) -> tuple[float, float]:
    """Slope and offset of the confidence. Raises ModelError."""
    told = content.manifest.preprocessing.get(CALIBRATION, (1.0, 0.0))
    try:
        slope, offset = (float(value) for value in told)
    except (TypeError, ValueError):
        slope, offset = float("nan"), 0.0
    if not (0 < slope < 100 and abs(offset) < 100):
        raise ModelError(
            f"preprocessing {CALIBRATION} of {content.path} is {told!r}; accepted are slope > 0 and offset"
        )
    return slope, offset


def _opened(engine: OnnxRuntime, content: ModelFolder, names: tuple[str, str]) -> tuple[Graph, Graph]:
    first, second = (engine.open(content, name) for name in names)
    height, pad, block = 2 * proposals.PAD, proposals.PAD, proposals.BLOCK
    _check(
        first,
        os.path.join(content.path, names[0]),
        lambda n: (1, proposals.PLANES, height, (1 + n) * pad),
        lambda n: [(1, proposals.ANSWERS, height // block, (1 + n) * pad // block)],
    )
    side = close_up.CELLS
    _check(
        second,
        os.path.join(content.path, names[1]),
        lambda n: (n, close_up.PLANES, side, side),
        lambda n: [(n, close_up.CLASSES, side, side), (n, close_up.FACTS)],
    )
    return first, second


def quickest(graphs: dict[str, Graph]) -> str:
    """Which of the precisions to take: int8 where it is quicker, and its sums are not cut off as on some older CPUs."""
    if len(graphs) == 1:
        return next(iter(graphs))
    seconds = {name: _seconds(graph) for name, graph in graphs.items()}
    noise = np.random.default_rng(0).normal(0, 0.3, (1, close_up.PLANES, close_up.CELLS, close_up.CELLS))
    exact, rough = (graphs[name](noise.astype(np.float32))[0].argmax(1) for name in ("float32", "int8"))
    return "int8" if seconds["int8"] < seconds["float32"] and (exact == rough).mean() > _AGREEING else "float32"


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
        graph(np.zeros((1, close_up.PLANES, close_up.CELLS, close_up.CELLS), np.float32))
        times.append(time.perf_counter() - started)
    return min(times)


def _check(
    graph: Graph,
    file: str,
    given: Callable[[int], tuple[int, ...]],
    expected: Callable[[int], list[tuple[int, ...]]],
) -> None:
    """Raise ModelError unless the graph takes arrays of these shapes and gives others of those."""
    try:
        for count in (1, 2):
            told = [part.shape for part in probe(graph, np.zeros(given(count), np.float32))]
            if told != expected(count):
                raise ModelError(f"gives {told}; needed is {expected(count)}")
    except ModelError as error:
        raise ModelError(f"the network of {file} {error}; copy the model folder again") from None
