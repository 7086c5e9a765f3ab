"""A graph in whole numbers of 8 bits, by ONNX Runtime's static quantisation.

Weights have a step per output channel, activations one per tensor, from what examples reach there (Jacob et al. 2018,
arXiv 1712.05877). The first layer stays in float32, since its planes are of very different ranges, and so does the
last one before each output: of several answers in one tensor the widest range would be the step of all.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.errors import MissingExtraError
from tiae_ros.vision.labels import Floats


def eight_bit_graph(graph: bytes, examples: Iterator[Floats]) -> bytes:
    """The graph in whole numbers of 8 bits. Raises MissingExtraError."""
    try:
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise MissingExtraError(f"quantising a model needs {error.name}; install the extra `train`") from None
    model = onnx.load_from_string(graph)
    _unpack(model)
    name = model.graph.input[0].name
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    last = [node.name for node in model.graph.node if node.op_type in ("Gemm", "MatMul")]
    for output in model.graph.output:
        last += _last_layer(model.graph, output.name)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quiet = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it advises on models of other makers
        try:
            quantize_static(
                model,
                target,
                _Reader(name, examples),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[first, *last],
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.root.setLevel(quiet)
        return target.read_bytes()


def _last_layer(graph: Any, name: str) -> list[str]:
    """The nodes that make an output: the last convolution, and what only puts its numbers elsewhere."""
    maker = next((node for node in graph.node if name in node.output), None)
    if maker is None:
        return []
    moves = maker.op_type in ("DepthToSpace", "Reshape", "Transpose", "Flatten", "Identity")
    return [maker.name, *(_last_layer(graph, maker.input[0]) if moves else [])]


def _unpack(model: Any) -> None:
    """Undo `export._pack`: the quantisation takes weights that are float32."""
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type not in ("Cast", "Mul") or not all(name in weights for name in node.input):
            continue
        values = [numpy_helper.to_array(weights[name]).astype(np.float32) for name in node.input]
        whole = values[0] if len(values) == 1 else values[0] * values[1]
        weights[node.output[0]] = numpy_helper.from_array(whole, node.output[0])
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for name, tensor in weights.items() if name in used)


class _Reader:
    """What the calibration asks for inputs."""

    def __init__(self, name: str, looks: Iterator[Floats]) -> None:
        self._name, self._looks = name, looks

    def get_next(self) -> dict[str, Floats] | None:
        planes = next(self._looks, None)
        return None if planes is None else {self._name: np.ascontiguousarray(planes)}
