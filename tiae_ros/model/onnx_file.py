"""What an ONNX file may hold, read from its bytes before a runtime is given it.

ONNX Runtime would open files that a graph names (external data), run operators of other domains where a library
offers them, and loop for as long as a graph says. All are refused here; what else a graph may cost shows in a first run
in a process of its own (`trial`). The file is a protocol buffer; of its messages only the few fields that matter are
walked (https://protobuf.dev/programming-guides/encoding, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator

from tiae_ros.errors import ModelError

_STANDARD = ("", "ai.onnx")
_ENDLESS = ("Loop", "Scan", "SequenceMap")  # how long they take is for the picture to say
_DEEPEST = 16  # graphs within graphs
_SPARSE_WEIGHTS = "an ONNX model with sparse weights; accepted are dense ones"

# Field numbers of onnx.proto
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTIONS = 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_VALUE_NAME, _TENSOR_NAME = 1, 8
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14

Field = tuple[int, int, memoryview]  # number, whole number (0 where it is bytes), bytes


def check_onnx(content: bytes) -> None:
    """Refuse what is not a plain ONNX model: all its data inside, standard operators alone.

    Raises:
        ModelError: what is wrong with it.
    """
    try:
        model = list(fields(memoryview(content)))
        graphs = [data for number, _, data in model if number == _MODEL_GRAPH]
        if len(graphs) != 1 or not any(number == _MODEL_OPSET for number, _, _ in model):
            raise ModelError("not an ONNX model")
        if any(number == _MODEL_FUNCTIONS for number, _, _ in model):
            raise ModelError("an ONNX model with functions of its own; accepted are standard operators alone")
        _check_graph(graphs[0], 0)
    except (IndexError, ValueError):
        raise ModelError("not an ONNX model, or cut off") from None


def names_of_graph(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of inputs (that are no weights) and outputs of a model that `check_onnx` has passed, in its order.

    Raises:
        ModelError: it is no ONNX model.
    """
    try:
        (graph,) = (data for number, _, data in fields(memoryview(content)) if number == _MODEL_GRAPH)
        parts = list(fields(graph))
        weights = {_text(data, _TENSOR_NAME) for number, _, data in parts if number == _GRAPH_INITIALIZER}
        inputs = [_text(data, _VALUE_NAME) for number, _, data in parts if number == _GRAPH_INPUT]
        outputs = [_text(data, _VALUE_NAME) for number, _, data in parts if number == _GRAPH_OUTPUT]
    except (IndexError, ValueError):
        raise ModelError("not an ONNX model, or cut off") from None
    return tuple(name for name in inputs if name not in weights), tuple(outputs)


def _text(message: memoryview, wanted: int) -> str:
    """A field of a message as text; the last one counts, as protobuf has it."""
    texts = [bytes(data) for number, _, data in fields(message) if number == wanted]
    return texts[-1].decode("utf-8", "replace") if texts else ""


def _check_graph(graph: memoryview, depth: int) -> None:
    if depth > _DEEPEST:
        raise ModelError(f"an ONNX model with graphs nested more than {_DEEPEST} deep")
    for number, _, data in fields(graph):
        if number == _GRAPH_NODE:
            _check_node(data, depth)
        elif number == _GRAPH_INITIALIZER:
            _check_tensor(data)
        elif number == _GRAPH_SPARSE:
            raise ModelError(_SPARSE_WEIGHTS)


def _check_node(node: memoryview, depth: int) -> None:
    parts = list(fields(node))
    texts = {number: bytes(data).decode("utf-8", "replace") for number, _, data in parts if number in (4, 7)}
    domain = texts.get(_NODE_DOMAIN, "")
    if domain not in _STANDARD:
        raise ModelError(
            f"an ONNX model with the operator {texts.get(_NODE_OPERATOR, '')!r} of {domain!r}; accepted are operators "
            "of the ONNX standard"
        )
    if texts.get(_NODE_OPERATOR, "") in _ENDLESS:
        raise ModelError(f"an ONNX model with the operator {texts[_NODE_OPERATOR]!r}; accepted are those without loops")
    for number, _, data in parts:
        if number == _NODE_ATTRIBUTE:
            for kind, _, part in fields(data):
                if kind in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    _check_tensor(part)
                elif kind in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    _check_graph(part, depth + 1)
                elif kind in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                    raise ModelError(_SPARSE_WEIGHTS)


def _check_tensor(tensor: memoryview) -> None:
    for number, value, _ in fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value):
            raise ModelError("an ONNX model whose weights lie in another file; accepted are those with all data inside")


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of one message. Raises IndexError or ValueError for what is no message."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        if key >> 32:  # protobuf would drop the bits above, and see another field
            raise ValueError("a key of more than 32 bits")
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value, message[:0]
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"wire type {wire}")
        length = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            length, at = _varint(message, at)
        if at + length > end:
            raise IndexError("cut off")
        yield number, 0, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
