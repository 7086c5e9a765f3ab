"""Graphs that are made to do harm: bounded memory and time, and the process that loads them lives on."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tiae_ros import load_model
from tiae_ros.errors import ModelError
from tiae_ros.model import trial
from tiae_ros.model.folder import DECODER, ENCODER, MANIFEST, read_folder, write_folder
from tiae_ros.model.onnx_file import check_onnx
from tiae_ros.model.segmenter import load_segmentation
from tiae_ros.model.shipped import find_model, is_shipped

onnx = pytest.importorskip("onnx", reason="graphs are made with onnx, which is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  after the check that there is one

FLOAT = TensorProto.FLOAT


def graph(*nodes, **constants):
    """An encoder (N, 2, 32, 32) -> (N, 96), (N, 2) that also makes `waste`."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(np.zeros((2048, size), np.float32), f"w{size}") for size in (96, 2)]
    nodes = [
        *nodes,
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w96"], ["descriptors"]),
        helper.make_node("MatMul", ["flat", "w2"], ["plain"]),
        helper.make_node("ReduceMax", ["waste"], ["none"], keepdims=0),
        helper.make_node("Add", ["plain", "none"], ["shifts"]),
    ]
    puts = [helper.make_tensor_value_info("x", FLOAT, ["n", 2, 32, 32])]
    out = [
        helper.make_tensor_value_info(name, FLOAT, ["n", size]) for name, size in (("descriptors", 96), ("shifts", 2))
    ]
    made = helper.make_graph(nodes, "graph", puts, out, initializer=tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def doubled(times):
    """Of a window, 2^times as much."""
    return [
        helper.make_node(
            "Concat", ["x" if i == 0 else f"c{i}"] * 2, [f"c{i + 1}" if i + 1 < times else "waste"], axis=0
        )
        for i in range(times)
    ]


def filled(count):
    """Constants of a gigabyte each, which are there as soon as the file is opened."""
    value = helper.make_tensor("v", FLOAT, [1], [1.0])
    made = [helper.make_node("ConstantOfShape", ["side"], [f"f{i}"], value=value) for i in range(count)]
    peaks = [helper.make_node("ReduceMax", [f"f{i}"], [f"p{i}"], keepdims=0) for i in range(count)]
    return [*made, *peaks, helper.make_node("Sum", [f"p{i}" for i in range(count)], ["waste"])]


def multiplied(times):
    """Products of large matrices, one after the other."""
    made = [helper.make_node("Expand", ["start", "side"], ["m0"])]
    made += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(times)]
    peak = helper.make_node("ReduceMax", ["x"], ["seen"], keepdims=0)  # of the picture, so that it is no constant
    return [peak, helper.make_node("Add", ["zero", "seen"], ["start"]), *made, helper.make_node(
        "Identity", [f"m{times}"], ["waste"])]  # fmt: skip


def with_encoder(tmp_path, content):
    shipped = read_folder(find_model("grasp"))
    write_folder(tmp_path / "model", shipped.manifest, {**shipped.files, ENCODER: content})
    return tmp_path / "model"


def test_harmless_graphs_are_tried_and_used(tmp_path):
    model = load_model(with_encoder(tmp_path, graph(*doubled(3))))
    assert model.encode(np.zeros((2, 2, 32, 32), np.float32)).shape == (2, 96)
    copy = shutil.copytree(find_model("segmentation"), tmp_path / "segmentation")
    assert load_segmentation(copy).name.startswith("network")


HARMFUL = {
    "doubled": (doubled(22), {}, r"takes more than 1\.1 GB of memory"),
    "filled": (filled(8), {"side": np.int64([16_000, 16_000])}, r"takes more than 1\.1 GB of memory"),
    "multiplied": (multiplied(2000), {"side": np.int64([3000, 3000]), "zero": np.float32(0)}, "takes more than 2 s"),
}


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("harm", HARMFUL)
def test_graphs_that_take_all_there_is_are_refused(tmp_path, monkeypatch, harm):
    nodes, constants, said = HARMFUL[harm]
    monkeypatch.setattr(trial, "MOST_MEMORY", 2**30)
    monkeypatch.setattr(trial, "MOST_CPU_S", 20 if "memory" in said else 2)  # to fill memory takes its time, too
    folder = with_encoder(tmp_path, graph(*nodes, **constants))
    before = resident()
    with pytest.raises(ModelError, match=said) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert resident() - before < 100e6


def test_what_a_picture_asks_for_is_bounded_too(tmp_path):
    """A graph that is harmless until it sees white: a frame is out of memory, the process lives on."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["seen"], keepdims=0),
        helper.make_node("Mul", ["seen", "much"], ["many"]),
        helper.make_node("Cast", ["many"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["whole", "first"], ["side"]),
        helper.make_node("ConstantOfShape", ["side"], ["filled"]),
        helper.make_node("Concat", ["filled", "one"], ["waste"], axis=0),
    ]
    constants = {"much": np.float32(1e11), "first": np.int64([0]), "one": np.float32([0])}
    model = load_model(with_encoder(tmp_path, graph(*nodes, **constants)))
    white, black = np.ones((1, 2, 32, 32), np.float32), np.zeros((1, 2, 32, 32), np.float32)
    for _ in range(2):
        assert model.encode(black).shape == (1, 96)
        with pytest.raises(MemoryError):
            model.encode(white)


def test_a_fault_of_the_runtime_ends_the_trial_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, -signal.SIGSEGV))
    with pytest.raises(ModelError, match="ends the process that runs it \\(SIGSEGV\\)"):
        load_model(with_encoder(tmp_path, graph(*doubled(4))))


def test_nothing_in_the_model_folder_is_imported(tmp_path, monkeypatch):
    """Somebody works in the folder of a model that brings its own numpy."""
    folder = with_encoder(tmp_path, graph(*doubled(5)))
    for name in ("numpy", "onnxruntime", "json", "tiae_ros", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    monkeypatch.chdir(folder)
    load_model(".")
    assert not (tmp_path / "executed").exists()


def test_shipped_and_known_graphs_are_not_tried(tmp_path, monkeypatch):
    copy = shutil.copytree(find_model("grasp"), tmp_path / "grasp")
    load_model(copy)
    monkeypatch.setattr(subprocess, "run", None)
    load_model(copy)
    load_model("hands")
    assert is_shipped(find_model("hands"))
    assert not is_shipped(copy)


@pytest.mark.parametrize("operator", ["Loop", "Scan", "SequenceMap"])
def test_loops_are_refused(operator):
    body = helper.make_graph([], "body", [], [])
    with pytest.raises(ModelError, match=f"'{operator}'; accepted are those without loops"):
        check_onnx(graph(helper.make_node(operator, ["a", "b", "x"], ["waste"], body=body)))


@pytest.mark.parametrize("name", [ENCODER, DECODER, MANIFEST])
def test_links_out_of_the_folder_are_not_followed(tmp_path, name):
    folder = shutil.copytree(find_model("grasp"), tmp_path / "grasp")
    (folder / name).rename(tmp_path / name)
    for target in (tmp_path / name, tmp_path / "absent", "/dev/zero", folder / name):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
        with pytest.raises(ModelError, match="is a link out of the model folder"):
            load_model(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match="is absent"):
        load_model(folder)
    (folder / name).unlink()
    shutil.copy(tmp_path / name, folder / "inside")
    (folder / name).symlink_to("inside")
    load_model(folder)
