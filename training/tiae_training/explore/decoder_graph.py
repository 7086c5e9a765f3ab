"""A decoder's ONNX graph as a page can compute it: its steps as JSON, its weights as bytes. Without the package onnx.

What the graph makes of weights alone is made here, and large matrices are rounded to 8 bits with a factor for each row:
a page of 2,000 windows then stays below 6 MB. How far that is from ONNX Runtime is measured and said on the page.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ModelError
from tiae_ros.model.onnx_file import fields

# What decoder.js computes; a graph of others has no sliders.
OPERATORS = (
    "Add", "Cast", "Clip", "Concat", "Conv", "DepthToSpace", "Div", "Flatten", "Gemm", "Identity", "MatMul", "Mul",
    "ReduceSum", "Relu", "Reshape", "Sigmoid", "Slice", "Split", "Sqrt", "Sub", "Unsqueeze",
)  # fmt: skip
_WORTH_ROUNDING = 4096  # weights
_TYPES = {1: "<f4", 3: "<i1", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}  # TensorProto.DataType
# Field numbers of onnx.proto
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 1, 5, 11, 12
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9


@dataclass(frozen=True)
class Step:
    """One operator: names of what goes in and comes out."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DecoderGraph:
    """The steps from descriptors to restored windows, and the arrays they take; nothing of the rest."""

    source: str  # name of the descriptors
    result: str  # name of the restored windows
    steps: tuple[Step, ...]
    arrays: dict[str, NDArray[Any]]

    def unknown(self) -> list[str]:
        """Operators that a page cannot compute."""
        return sorted({step.operator for step in self.steps} - set(OPERATORS))


def read_decoder(content: bytes) -> DecoderGraph:
    """The part of decoder.onnx that restores. Raises ModelError for weights of types no decoder of ours has."""
    (graph,) = (data for number, _, data in fields(memoryview(content)) if number == _MODEL_GRAPH)
    steps: list[Step] = []
    arrays: dict[str, NDArray[Any]] = {}
    names: dict[int, list[str]] = {_GRAPH_INPUT: [], _GRAPH_OUTPUT: []}
    for number, _, data in fields(graph):
        if number == _GRAPH_NODE:
            steps.append(_step(data))
        elif number == _GRAPH_INITIALIZER:
            name, array = _tensor(data)
            arrays[name] = array
        elif number in names:
            names[number] += [_text(part) for kind, _, part in fields(data) if kind == 1]
    source, result = names[_GRAPH_INPUT][0], names[_GRAPH_OUTPUT][0]
    needed, kept = {result}, []
    for step in reversed(steps):
        if needed & set(step.outputs):
            kept.append(step)
            needed |= set(step.inputs)
    kept.reverse()
    for step in [step for step in kept if step.operator in ("Cast", "Mul") and set(step.inputs) <= set(arrays)]:
        first, *factors = (arrays[name] for name in step.inputs)  # stored in half the space or less, steps beside them
        arrays[step.outputs[0]] = first.astype(np.float32) if not factors else first * factors[0]
        kept.remove(step)
    used = {name for step in kept for name in step.inputs}
    return DecoderGraph(source, result, tuple(kept), {n: a for n, a in arrays.items() if n in used})


def packed(graph: DecoderGraph) -> tuple[dict[str, Any], bytes]:
    """(what the page reads as JSON, the weights' bytes): large matrices (rows, columns) as 8 bits and row factors."""
    content = bytearray()
    described: dict[str, dict[str, Any]] = {}

    def put(array: NDArray[Any]) -> int:
        content.extend(b"\0" * (-len(content) % 4))
        at = len(content)
        content.extend(array.tobytes())
        return at

    for name, array in graph.arrays.items():
        shape = list(array.shape)
        if array.dtype.kind != "f":
            described[name] = {"shape": shape, "values": array.astype(np.int64).ravel().tolist()}
        elif array.size >= _WORTH_ROUNDING:
            rounded, factors = round_to_8_bits(array)
            described[name] = {"shape": shape, "int8": put(rounded), "factors": put(factors)}
        else:
            described[name] = {"shape": shape, "float32": put(array.astype("<f4"))}
    steps = [
        {"op": step.operator, "in": step.inputs, "out": step.outputs, "attributes": step.attributes}
        for step in graph.steps
    ]
    return {"source": graph.source, "result": graph.result, "steps": steps, "arrays": described}, bytes(content)


def round_to_8_bits(array: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(R, …) -> whole numbers -127..127 and a factor for each of the R rows."""
    rows = array.reshape(len(array), -1).astype(np.float32)
    factors = np.abs(rows).max(1) / 127
    rounded = np.rint(rows / np.where(factors > 0, factors, 1)[:, None]).astype(np.int8)
    return rounded, factors.astype("<f4")


def _step(node: memoryview) -> Step:
    parts = list(fields(node))

    def texts(kind: int) -> tuple[str, ...]:
        return tuple(_text(data) for number, _, data in parts if number == kind)

    attributes = dict(_attribute(data) for number, _, data in parts if number == _ATTRIBUTE)
    return Step("".join(texts(_OPERATOR)), texts(_INPUT), texts(_OUTPUT), attributes)


def _attribute(attribute: memoryview) -> tuple[str, Any]:
    """Name, and a number, a text or whole numbers; None for what no operator of `OPERATORS` has."""
    name, kind = "", 0
    number: float = 0
    text, whole = "", []
    for which, value, data in fields(attribute):
        if which == 1:
            name = _text(data)
        elif which == 2:
            number = struct.unpack("<f", data)[0]
        elif which == 3:
            number = _signed(value)
        elif which == 4:
            text = _text(data)
        elif which == 8:
            whole += _whole_numbers(value, data)
        elif which == 20:
            kind = value
    return name, {1: number, 2: number, 3: text, 7: whole}.get(kind)


def _tensor(tensor: memoryview) -> tuple[str, NDArray[Any]]:
    shape: list[int] = []
    kind, name, raw = 0, "", None
    for which, value, data in fields(tensor):
        if which == _TENSOR_DIMS:
            shape += _whole_numbers(value, data)
        elif which == _TENSOR_TYPE:
            kind = value
        elif which == _TENSOR_NAME:
            name = _text(data)
        elif which == _TENSOR_RAW:
            raw = data
    if kind not in _TYPES or raw is None:
        raise ModelError(f"decoder.onnx has {name!r} of a type or form that cannot be read; export the model again")
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(shape)


def _whole_numbers(value: int, data: memoryview) -> list[int]:
    """One number, or packed ones: bytes whose top bit says that another follows."""
    if not len(data):
        return [_signed(value)]
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(_signed(number))
            number = shift = 0
    return numbers


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")
