"""Engines: plain PyTorch gives what ONNX Runtime gives; devices that are not there are named with those that are."""

import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from tiae_ros import load_model
from tiae_ros.errors import MissingExtraError, ModelError, ParameterError
from tiae_ros.model import devices
from tiae_ros.model.devices import available_devices, choose_device, gpu_count, open_engine
from tiae_ros.model.engines.eager_torch import EagerTorch
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime, usual_threads
from tiae_ros.model.folder import DECODER, ENCODER, NETWORK, NETWORK_INT8, WEIGHTS, read_folder
from tiae_ros.model.shipped import find_model


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two GPUs, and ONNX Runtime with its CUDA provider."""
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    monkeypatch.setattr(devices, "has_cuda", lambda: True)


def random(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "file", "inputs"),
    [
        ("grasp", ENCODER, [(5, 2, 32, 32)]),
        ("grasp", DECODER, [(5, 96), (5, 2)]),
        ("hands", ENCODER, [(2, 3, 32, 32)]),
        ("hands", DECODER, [(2, 96), (2, 2)]),
        ("depth", DECODER, [(1, 96), (1, 2)]),
        ("segmentation", NETWORK, [(1, 9, 64, 80)]),
        ("segmentation", NETWORK, [(2, 9, 16, 32)]),
    ],
)
def test_pytorch_gives_what_onnx_runtime_gives(name, file, inputs):
    pytest.importorskip("torch")
    folder, arrays = read_folder(find_model(name)), [random(*shape) for shape in inputs]
    engines = OnnxRuntime("cpu", threads=1), EagerTorch("cpu")
    found, wanted = (engine.open(folder, file)(*arrays) for engine in engines)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert [engine.name.split()[0] for engine in engines] == ["ONNX", "PyTorch"]


def test_pytorch_needs_weights_and_networks(monkeypatch):
    pytest.importorskip("torch")
    folder = read_folder(find_model("segmentation"))
    without = dataclasses.replace(folder, files={NETWORK: folder.files[NETWORK]})
    with pytest.raises(ModelError, match=f"cannot run in PyTorch without {WEIGHTS}; use device cpu"):
        EagerTorch("cpu").open(without, NETWORK)
    with pytest.raises(ModelError, match=f"{NETWORK_INT8} has no torch network"):
        EagerTorch("cpu").open(folder, NETWORK_INT8)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])
    with pytest.raises(ModelError, match="without the installed package tiae_ros with its tiae_training"):
        EagerTorch("cpu").open(folder, NETWORK)


def test_a_gpu_without_any_engine(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"device cuda:0 needs onnxruntime-gpu, or PyTorch"):
        EagerTorch("cuda:0")


def test_no_memory_is_a_memory_error(monkeypatch):
    torch = pytest.importorskip("torch")

    class Greedy(torch.nn.Module):
        def forward(self, *_inputs):
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    class Point:
        name, load = "torch", staticmethod(lambda: lambda *_: Greedy())

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [Point])
    graph = EagerTorch("cpu").open(read_folder(find_model("segmentation")), NETWORK)
    with pytest.raises(MemoryError, match=r"^CUDA out of memory\.$"):
        graph(random(1, 9, 16, 16))


def test_graphs_onnx_runtime_cannot_open(tmp_path):
    content = read_folder(find_model("depth"))
    broken = dataclasses.replace(content, path=tmp_path, files={ENCODER: b"\x3a\x00\x42\x02\x10\x14"})
    with pytest.raises(ModelError, match=f"{ENCODER} cannot be used: .*; copy the model folder again") as caught:
        OnnxRuntime("cpu").open(broken, ENCODER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["3", "", "0", "many"])
def test_threads_follow_the_environment(monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert usual_threads() == (3 if text == "3" else len(os.sched_getaffinity(0)))


def test_without_a_driver_there_is_the_cpu(monkeypatch):
    def no_library(_name):
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert gpu_count() == 0
    assert available_devices() == ["cpu"]
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    assert isinstance(open_engine("cpu"), OnnxRuntime)


def test_devices_of_a_machine_with_gpus(gpus):
    assert available_devices() == ["cpu", "cuda:0", "cuda:1"]
    chosen = [choose_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")]
    assert chosen == ["cuda:0", "cuda:0", "cuda:1", "cpu"]


def test_gpus_that_nothing_computes_on(gpus, monkeypatch):
    monkeypatch.setattr(devices, "has_cuda", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert available_devices() == ["cpu"]


def test_auto_takes_the_cpu_where_the_gpu_does_not_start(monkeypatch):
    """A driver with a GPU, and PyTorch without CUDA, or a CUDA provider whose libraries are missing."""
    monkeypatch.setattr(devices, "gpu_count", lambda: 1)
    assert available_devices() == ["cpu"]
    monkeypatch.setattr(devices, "has_cuda", lambda: True)
    assert available_devices() == ["cpu", "cuda:0"]
    assert load_model("depth", device="auto").device == "cpu"
    with pytest.raises(ModelError, match="ONNX Runtime does not start on cuda:0"):
        load_model("depth", device="cuda")


def test_what_pytorch_cannot_open_is_one_line(monkeypatch):
    pytest.importorskip("torch")

    def failing(*_):
        raise AssertionError("Torch not compiled\nwith CUDA enabled")

    point = type("Point", (), {"name": "torch", "load": staticmethod(lambda: failing)})
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])
    with pytest.raises(ModelError, match=r"cannot open .*: Torch not compiled with CUDA enabled; use device cpu"):
        EagerTorch("cpu").open(read_folder(find_model("segmentation")), NETWORK)


@pytest.mark.parametrize("name", ["cuda:77", "cuda:-1", "cuda:x", "banana", "", "3.5", "CPU"])
def test_absent_devices_are_named_with_those_there(name, gpus):
    with pytest.raises(ParameterError, match=rf"device {name} is not there; .*: cpu, cuda:0, cuda:1 \(or auto\)"):
        choose_device(name)


@pytest.mark.parametrize("device", ["cuda:77", "banana", 3.5])
def test_a_model_on_an_absent_device(device):
    with pytest.raises(ModelError, match=f"device {device} is not there; devices of this machine: cpu"):
        load_model("depth", device=device)
    assert load_model("depth", device="cpu").device == "cpu"


def test_models_run_where_torch_is_absent():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, tiae_ros\n"
        "from tiae_ros.model.segmenter import choose_segmentation\n"
        "print(tiae_ros.load_model('depth').place(np.zeros((1, 1, 32, 32), np.uint8)).shape)\n"
        "choose_segmentation().segment(None, np.ones((48, 64), np.float32))\n"
        "print([name for name in sys.modules if name.startswith('tiae_training')])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "(1, 1, 32, 32)\n[]\n"
