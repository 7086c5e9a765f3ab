"""ONNX Runtime: on the CPU, and on a GPU by its CUDA provider (the package onnxruntime-gpu)."""

from __future__ import annotations

import functools
import os
from typing import Any

import onnxruntime

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.engines.engine import Floats, Graph
from tiae_ros.model.folder import ModelFolder

_CUDA = "CUDAExecutionProvider"
_ONLY_ERRORS = 3
MOST_MEMORY = 4 * 2**30  # bytes of all networks of a process, beside their GPUs'
_AS_REQUESTED = 1
_NO_MEMORY = (
    "Failed to allocate memory", "out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "bad_alloc", "bad allocation",
    "Available memory of",
)  # fmt: skip

onnxruntime.set_default_logger_severity(_ONLY_ERRORS)  # it warns of GPUs it cannot list


def has_cuda() -> bool:
    """Whether this build of ONNX Runtime computes on GPUs."""
    return _CUDA in onnxruntime.get_available_providers()


def usual_threads() -> int:
    """OMP_NUM_THREADS, or as many as this process may run on (a container's share, not the machine's)."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) else len(os.sched_getaffinity(0))


def open_session(graph: bytes, device: str, *, threads: int) -> Any:
    """A session of ONNX Runtime; its errors have no common base."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    _bound_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
    if device != "cpu":
        providers.insert(0, (_CUDA, {"device_id": device.partition(":")[2]}))
    return onnxruntime.InferenceSession(graph, options, providers=providers)


@functools.cache
def _bound_memory() -> None:
    """Let all sessions of this process share one arena, which ends: a graph may ask for any amount of memory, by what
    it sees in a picture. What goes beyond is out of memory, which costs the frame and not the process.
    """
    where = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    # Grown by what is asked for: by default each part of it is twice the one before, and models that are loaded again
    # and again (a life cycle) end in a new one now and then: 20 MB that are never given back.
    arena = onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY, "arena_extend_strategy": _AS_REQUESTED})
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *where), arena)


def is_out_of_memory(error: Exception) -> bool:
    """Whether that is what an error of ONNX Runtime says."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY)


class OnnxRuntime:
    """Sessions of one thread do not wake others: at batch 1 they would wait for each other longer than they work."""

    def __init__(self, device: str, *, threads: int = 0) -> None:
        """Args:
        device: ``cpu`` or ``cuda:N``.
        threads: of the CPU; 0: `usual_threads`.
        """
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self.device = device
        self._threads = threads or usual_threads()

    def open(self, folder: ModelFolder, file: str) -> Graph:
        """As `Engine.open`; ParameterError where the CUDA provider does not start."""
        try:
            session = open_session(folder.files[file], self.device, threads=self._threads)
        except Exception as error:  # its exceptions have no common base
            detail = " ".join(str(error).split())[:200]
            advice = "copy the model folder again"
            if self.device != "cpu" or is_out_of_memory(error):
                advice = f"{self.device} may lack memory or libraries: try device cpu, or copy the model folder again"
            raise ModelError(f"{folder.path / file} cannot be used: {detail}; {advice}") from None
        if self.device != "cpu" and session.get_providers()[0] != _CUDA:
            raise ParameterError(
                f"ONNX Runtime does not start on {self.device} (CUDA or cuDNN libraries are missing); use device cpu"
            )
        names = [put.name for put in session.get_inputs()]

        def run(*inputs: Floats) -> list[Floats]:
            try:
                outputs: list[Floats] = session.run(None, dict(zip(names, inputs, strict=True)))
            except Exception as error:
                if is_out_of_memory(error):
                    raise MemoryError(str(error).partition("\n")[0]) from error
                raise
            return outputs

        return run
