"""ONNX Runtime: on the CPU, and on a GPU by its CUDA provider (the package onnxruntime-gpu)."""

from __future__ import annotations

import os

import onnxruntime

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.engines.engine import Floats, Graph
from tiae_ros.model.folder import ModelFolder

_CUDA = "CUDAExecutionProvider"
_ONLY_ERRORS = 3
_NO_MEMORY = ("Failed to allocate memory", "out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "bad_alloc")

onnxruntime.set_default_logger_severity(_ONLY_ERRORS)  # it warns of GPUs it cannot list


def has_cuda() -> bool:
    """Whether this build of ONNX Runtime computes on GPUs."""
    return _CUDA in onnxruntime.get_available_providers()


def usual_threads() -> int:
    """OMP_NUM_THREADS, or as many as this process may run on (a container's share, not the machine's)."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) else len(os.sched_getaffinity(0))


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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
        if self.device != "cpu":
            providers.insert(0, (_CUDA, {"device_id": self.device.partition(":")[2]}))
        try:
            session = onnxruntime.InferenceSession(folder.files[file], options, providers=providers)
        except Exception as error:  # its exceptions have no common base
            detail = " ".join(str(error).split())[:200]
            advice = "copy the model folder again"
            if self.device != "cpu" or any(sign in detail for sign in _NO_MEMORY):
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
                if any(sign in str(error) for sign in _NO_MEMORY):
                    raise MemoryError(str(error).partition("\n")[0]) from error
                raise
            return outputs

        return run
