"""A model's name -> its folder; a device's name -> the device. No ROS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiae_ros.core.shipped_models import find_model
from tiae_ros.errors import ModelError, ParameterError

if TYPE_CHECKING:
    from tiae_ros import TransformInvariantAutoencoder

MASK_CHANNELS = ("hand_mask", "object_mask")
DEPTH_CHANNELS = ("depth",)


def load_checked(name: str, channels: tuple[str, ...], device: str) -> TransformInvariantAutoencoder:
    """Load a model by name and check that it is for these channels.

    Raises:
        ModelError: absent, damaged, or for other channels.
    """
    from tiae_ros import load_model

    folder = find_model(name)
    model = load_model(folder, device=device)
    if tuple(model.manifest.channels) != channels:
        raise ModelError(
            f"model {folder} is for the channels {', '.join(model.manifest.channels)}, "
            f"but {', '.join(channels)} are needed here"
        )
    return model


def find_device(name: str) -> tuple[str, str]:
    """The torch device of ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, and a remark ("" when there is none).

    Raises:
        ParameterError: the named GPU is not there; the message lists the devices.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return ("cuda:0", "") if count else ("cpu", "no usable GPU: running on the CPU")
    if name == "cpu":
        return "cpu", ""
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        devices = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
        raise ParameterError(f"device {name} is not there; devices of this machine: {devices}")
    return f"cuda:{index}", ""
