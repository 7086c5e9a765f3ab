"""Transform-invariant auto-encoders for grasp perception.

>>> from tiae_ros import load_model
>>> model = load_model("models/grasp")            # doctest: +SKIP
>>> descriptors = model.encode(images)            # doctest: +SKIP

The names below are imported on first use, so that ``import tiae_ros`` costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiae_ros.errors import ModelError, TiaeError

if TYPE_CHECKING:
    from tiae_ros.core.model import Inference, TransformInvariantAutoencoder
    from tiae_ros.core.model_files import load_model, save_model

__version__ = "0.1.0"
__all__ = [
    "Inference",
    "ModelError",
    "TiaeError",
    "TransformInvariantAutoencoder",
    "load_model",
    "save_model",
]

_HOMES = {
    "Inference": "tiae_ros.core.model",
    "TransformInvariantAutoencoder": "tiae_ros.core.model",
    "load_model": "tiae_ros.core.model_files",
    "save_model": "tiae_ros.core.model_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiae_ros' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
