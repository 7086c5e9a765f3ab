"""What an ONNX file may hold: no data elsewhere, no operators of others, however deep they lie."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiae_ros.errors import ModelError
from tiae_ros.model.onnx_file import check_onnx
from tiae_ros.model.shipped import find_model

MODELS = ("depth", "detector", "grasp", "hands", "segmentation")
GRAPHS = [path for name in MODELS for path in sorted(find_model(name).glob("*.onnx"))]

onnx = pytest.importorskip("onnx", reason="graphs are made with onnx, which is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  after the check that there is one


def value(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])


def graph_of(*nodes, initializer=(), **more):
    return helper.make_graph(list(nodes), "graph", [], [value("y")], initializer=list(initializer), **more)


def model_of(graph, **more):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], **more)


def external(how):
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "w")
    if how != "location":
        tensor.external_data.add(key="location", value="../../secret")
    if how != "entries":
        tensor.data_location = TensorProto.EXTERNAL
    return tensor


def inside(graph, deep=1):
    """A graph within others."""
    for _ in range(deep):
        graph = graph_of(helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph_of(RELU)))
    return graph


RELU = helper.make_node("Relu", ["x"], ["y"])
FOREIGN = helper.make_node("Relu", ["x"], ["y"], domain="com.evil")
CONSTANT = helper.make_node("Constant", [], ["y"], value=external("both"))
LISTED = helper.make_node("Any", [], ["y"], values=[external("entries")])
FUNCTION = helper.make_function("own", "F", ["x"], ["y"], [RELU], [helper.make_opsetid("", 20)])
SPARSE = helper.make_sparse_tensor(
    numpy_helper.from_array(np.ones(1, np.float32), "w"), numpy_helper.from_array(np.zeros(1, np.int64), "i"), [4]
)


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_graphs_are_accepted(path):
    check_onnx(path.read_bytes())


@pytest.mark.parametrize("graph", [graph_of(RELU), inside(graph_of(RELU)), inside(graph_of(RELU), 10)])
def test_standard_operators_are_accepted(graph):
    check_onnx(model_of(graph).SerializeToString())


@pytest.mark.parametrize("deep", [0, 1, 5])
@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (graph_of(RELU, initializer=[external("both")]), "weights lie in another file"),
        (graph_of(RELU, initializer=[external("entries")]), "weights lie in another file"),
        (graph_of(RELU, initializer=[external("location")]), "weights lie in another file"),
        (graph_of(CONSTANT), "weights lie in another file"),
        (graph_of(LISTED), "weights lie in another file"),
        (graph_of(FOREIGN), "the operator 'Relu' of 'com.evil'"),
        (graph_of(RELU, FOREIGN), "the operator 'Relu' of 'com.evil'"),
        (graph_of(RELU, sparse_initializer=[SPARSE]), "sparse weights"),
        (graph_of(helper.make_node("Constant", [], ["y"], sparse_value=SPARSE)), "sparse weights"),
    ],
)
def test_foreign_parts_are_refused_at_any_depth(graph, said, deep):
    with pytest.raises(ModelError, match=said) as caught:
        check_onnx(model_of(inside(graph, deep)).SerializeToString())
    assert "\n" not in str(caught.value)


def test_functions_and_endless_depth_are_refused():
    with pytest.raises(ModelError, match="functions of its own"):
        check_onnx(model_of(graph_of(RELU), functions=[FUNCTION]).SerializeToString())
    with pytest.raises(ModelError, match="nested more than 16 deep"):
        check_onnx(model_of(inside(graph_of(RELU), 17)).SerializeToString())


def test_two_graphs_in_one_file():
    """Where a field comes twice, protocol buffers merge the two; what was checked would not be what runs."""
    twice = model_of(graph_of(RELU)).SerializeToString() + model_of(graph_of(FOREIGN)).SerializeToString()
    with pytest.raises(ModelError, match="not an ONNX model"):
        check_onnx(twice)


def merged(*nodes):
    """Two nodes' bytes as one message, of which the later domain counts."""
    return b"".join(node.SerializeToString() for node in nodes)


def test_the_last_domain_of_a_node_counts():
    content = merged(RELU, helper.make_node("Relu", [], [], domain="com.evil"))
    graph = b"\x0a" + bytes([len(content)]) + content
    model = onnx.ModelProto()
    model.opset_import.add(domain="", version=20)
    with pytest.raises(ModelError, match=r"com\.evil"):
        check_onnx(model.SerializeToString() + b"\x3a" + bytes([len(graph)]) + graph)


def test_keys_of_more_than_32_bits_are_refused():
    """Protocol buffers drop the bits above: the field would be read here as an unknown one, and there as a graph."""
    content = model_of(graph_of(RELU)).SerializeToString()
    hidden = model_of(graph_of(FOREIGN)).graph.SerializeToString()
    key = b"\xba\x80\x80\x80\x10"  # 7 << 3 | 2, and bit 32
    with pytest.raises(ModelError, match="not an ONNX model"):
        check_onnx(content + key + bytes([len(hidden)]) + hidden)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04pickle", b"\xff" * 40, b"{}", bytes(100), b"\x3a\x05"])
def test_garbage_is_refused(content):
    with pytest.raises(ModelError, match="not an ONNX model"):
        check_onnx(content)


@pytest.mark.parametrize("path", GRAPHS[:2], ids=lambda path: path.stem)
def test_cut_off_files_are_refused(path):
    content = path.read_bytes()
    for size in (1, 10, 1000, len(content) // 2, len(content) - 1):
        with pytest.raises(ModelError):
            check_onnx(content[:size])


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), start=st.booleans())
def test_any_bytes_are_checked_or_refused(content, start):
    whole = model_of(inside(graph_of(RELU))).SerializeToString()
    with contextlib.suppress(ModelError):
        check_onnx(whole[: len(content)] + content if start else content)
