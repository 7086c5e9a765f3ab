"""Transform-invariant auto-encoders for grasp perception: what runs on a robot.

>>> from tiae_ros import load_model, Perception
>>> model = load_model("hands")                                    # doctest: +SKIP
>>> descriptors = model.encode(images)                             # doctest: +SKIP
>>> grasps = Perception().frame(color, depth_m, k)                 # doctest: +SKIP

The names below are imported on first use, so that ``import tiae_ros`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tiae_ros.errors import ModelError, TiaeError

if TYPE_CHECKING:
    from tiae_ros.model.autoencoder import Autoencoder, Inference, load_model
    from tiae_ros.perception import Grasp, Perception

__version__ = "0.2.0"
__all__ = ["Autoencoder", "Grasp", "Inference", "ModelError", "Perception", "TiaeError", "load_model"]

_HOMES = {
    "Autoencoder": "tiae_ros.model.autoencoder",
    "Inference": "tiae_ros.model.autoencoder",
    "load_model": "tiae_ros.model.autoencoder",
    "Grasp": "tiae_ros.perception",
    "Perception": "tiae_ros.perception",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiae_ros' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
