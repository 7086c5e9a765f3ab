"""What learns, with torch: the method itself, data, simulator, training and measures.

The names below are imported on first use: the parts that need no torch (data, measures, naming) also work without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiae_training.model import TransformInvariantAutoencoder, load_network

__all__ = ["TransformInvariantAutoencoder", "load_network"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tiae_training' has no attribute {name!r}")
    from tiae_ros.errors import MissingExtraError

    try:
        return getattr(importlib.import_module("tiae_training.model"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"tiae_training.{name} needs {error.name}; install the extra `train`") from error
