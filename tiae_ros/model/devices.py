"""A device's name -> what computes there: ONNX Runtime on the CPU, on a GPU its CUDA build, or PyTorch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TypeVar

from tiae_ros.errors import ParameterError, TiaeError
from tiae_ros.model.engines import eager_torch
from tiae_ros.model.engines.engine import Engine
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime, has_cuda

CPU = "cpu"
Loaded = TypeVar("Loaded")


def available_devices() -> list[str]:
    """``cpu``, then ``cuda:0``, ``cuda:1`` and so on, as far as there are GPUs and something that computes there."""
    count = gpu_count()
    usable = count and (has_cuda() or eager_torch.has_cuda())
    return [CPU, *(f"cuda:{index}" for index in range(count if usable else 0))]


def choose_device(name: str) -> str:
    """``auto`` (the first GPU if there is one), ``cpu``, ``cuda`` (the first) or ``cuda:N`` -> ``cpu`` or ``cuda:N``.

    Raises ParameterError, in one line with the devices there are, for anything else.
    """
    return device_among(available_devices(), name)


def device_among(names: Sequence[str], name: str) -> str:
    """As `choose_device`, of given devices, the CPU first."""
    if name == "auto":
        return names[min(1, len(names) - 1)]
    asked = "cuda:0" if name == "cuda" else name
    if asked not in names:
        raise ParameterError(f"device {name} is not there; devices of this machine: {', '.join(names)} (or auto)")
    return asked


def on_device(name: str, load: Callable[[str], Loaded]) -> Loaded:
    """Load something onto a device; with ``auto`` onto the CPU where the GPU does not take it."""
    device = choose_device(name)
    try:
        return load(device)
    except TiaeError:
        if name != "auto" or device == CPU:
            raise
        return load(CPU)


def open_engine(device: str, *, threads: int = 0) -> Engine:
    """What computes on ``cpu`` or ``cuda:N``; threads of the CPU: 0 as many as this process may use."""
    if device == CPU or has_cuda():
        return OnnxRuntime(device, threads=threads)
    return eager_torch.EagerTorch(device)


def gpu_count() -> int:
    """How many CUDA devices the driver shows this process; 0 without a driver."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0
