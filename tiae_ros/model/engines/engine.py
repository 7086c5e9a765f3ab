"""The interface of an engine: opens a graph of a model folder, which then maps arrays to arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tiae_ros.model.folder import ModelFolder

Floats = NDArray[np.float32]
Graph = Callable[..., list[Floats]]
"""Inputs in the order of the file -> outputs in its order; the first dimension of each is the batch. MemoryError where
the device has not enough memory."""


class Engine(Protocol):
    """Something that computes on one device."""

    name: str
    """For people and diagnostics, e.g. ``ONNX Runtime 1.32.0``."""
    device: str
    """``cpu`` or ``cuda:N``."""

    def open(self, folder: ModelFolder, file: str) -> Graph:
        """One graph of a folder by its file's name, e.g. ``encoder.onnx``. Raises ModelError."""
        ...


def probe(graph: Graph, *inputs: NDArray[Any]) -> list[Floats]:
    """The outputs of a first pass; ModelError where the graph does not take such inputs."""
    from tiae_ros.errors import ModelError

    try:
        return graph(*inputs)
    except MemoryError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())[:200]
        raise ModelError(f"does not take inputs {[i.shape for i in inputs]}: {detail}") from None
