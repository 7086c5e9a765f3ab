"""A hand detector of a model folder: its two networks in the precision that is quickest on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.engines.engine import Graph, probe
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime
from tiae_ros.model.folder import CLOSE_UP, CLOSE_UP_INT8, PROPOSALS, PROPOSALS_INT8, ModelFolder, read_folder
from tiae_ros.model.manifest import DETECTOR
from tiae_ros.model.segmenter import PRECISIONS, QUICK_WITH_8_BITS, cpu_flags, quickest
from tiae_ros.model.shipped import find_model
from tiae_ros.model.trial import try_graphs
from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.detector import Calibration, HandDetector

CALIBRATION = "confidence"  # of the preprocessing: the numbers of `Calibration`
_FILES = {"float32": (PROPOSALS, CLOSE_UP), "int8": (PROPOSALS_INT8, CLOSE_UP_INT8)}
_TRIED = (  # shapes of either graph's input
    (1, proposals.PLANES, 192, proposals.GRID),
    (6, close_up.PLANES, close_up.CELLS, close_up.CELLS),
)


def load_detector(folder: str | os.PathLike[str], *, precision: str = "auto", threads: int = 1) -> HandDetector:
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
    content = read_folder(find_model(folder), DETECTOR)
    for names, shape in zip(zip(*_FILES.values(), strict=True), _TRIED, strict=True):
        for name in filter(content.files.__contains__, names):
            try_graphs(content, [name], shape)
    engine = OnnxRuntime("cpu", threads=threads)
    has_int8 = all(name in content.files for name in _FILES["int8"])
    wanted: tuple[str, ...] = ("float32", "int8") if precision == "auto" else (precision,)
    if precision == "auto" and has_int8 and QUICK_WITH_8_BITS & cpu_flags():
        wanted = ("int8",)
    if not has_int8:
        if precision == "int8":
            raise ModelError(
                f"{content.path} has no {PROPOSALS_INT8} and {CLOSE_UP_INT8}; use precision float32 or auto"
            )
        wanted = ("float32",)
    pairs = {name: _opened(engine, content, _FILES[name]) for name in wanted}
    chosen = quickest({name: look for name, (_, look) in pairs.items()}, (1, *_TRIED[1][1:]), deviation=0.3)
    first, second = pairs[chosen]
    return HandDetector(first, second, f"network {content.manifest.model_id} ({chosen})", calibration_of(content))


def calibration_of(content: ModelFolder) -> Calibration:
    """How confident it is. Raises ModelError."""
    told = content.manifest.preprocessing.get(CALIBRATION, Calibration())
    try:
        slope, offset, proposal_slope = (float(value) for value in told)
    except (TypeError, ValueError):
        slope, offset, proposal_slope = float("nan"), 0.0, 0.0
    if not (0 < slope < 100 and abs(offset) < 100 and 0 <= proposal_slope < 100):
        raise ModelError(
            f"preprocessing {CALIBRATION} of {content.path} is {told!r}; accepted are three numbers below 100: slope "
            "> 0, offset and the proposal's slope, 0 or more (a detector of an earlier release: train it again, or "
            "take the one that ships)"
        )
    return Calibration(slope, offset, proposal_slope)


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
