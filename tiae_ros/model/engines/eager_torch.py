"""Plain PyTorch on a GPU, where ONNX Runtime has no CUDA build (a Jetson): the trained network as it is.

The networks' definitions belong to the training package, which registers how to load one under the entry point
``tiae_ros.networks``; nothing of it is imported here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

from tiae_ros.errors import MissingExtraError, ModelError, TiaeError
from tiae_ros.model.engines.engine import Floats, Graph
from tiae_ros.model.folder import WEIGHTS, ModelFolder

ENTRY_POINTS = "tiae_ros.networks"


def has_cuda() -> bool:
    """Whether PyTorch is installed with all that it takes to compute on a GPU here."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "safetensors")):
        return False
    import torch

    return bool(torch.cuda.is_available())


class EagerTorch:
    """float32, without autocast or compilation."""

    def __init__(self, device: str) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtraError(
                f"device {device} needs onnxruntime-gpu, or PyTorch with CUDA and safetensors; install one of them"
            ) from None
        self._torch: Any = torch
        self.name = f"PyTorch {torch.__version__}"
        self.device = device

    def open(self, folder: ModelFolder, file: str) -> Graph:
        """As `Engine.open`: what the ONNX file of that name was exported from."""
        found = [point for point in importlib.metadata.entry_points(group=ENTRY_POINTS) if point.name == "torch"]
        if not found or WEIGHTS not in folder.files:
            missing = WEIGHTS if found else "the installed package tiae_ros with its tiae_training"
            raise ModelError(f"{folder.path} cannot run in PyTorch without {missing}; use device cpu")
        torch = self._torch
        try:
            module = found[0].load()(folder, file).to(self.device).eval()
        except TiaeError:
            raise
        except Exception as error:  # a package that is missing, no CUDA in this build, no memory there, ...
            detail = " ".join(str(error).split())[:200]
            raise ModelError(f"PyTorch cannot open {folder.path} on {self.device}: {detail}; use device cpu") from None

        def run(*inputs: Floats) -> list[Floats]:
            try:
                with torch.inference_mode():
                    outputs = module(*(torch.from_numpy(values).to(self.device) for values in inputs))
            except torch.cuda.OutOfMemoryError as error:
                raise MemoryError(str(error).partition("\n")[0]) from error
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            return [output.cpu().numpy() for output in outputs]

        return run
