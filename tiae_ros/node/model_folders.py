"""A model's name -> its folder; a device's name -> the device. No ROS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiae_ros.core.shipped_models import find_model
from tiae_ros.errors import ModelError

if TYPE_CHECKING:
    from tiae_ros import TransformInvariantAutoencoder

MASKS = ("hand_mask", "object_mask")
DEPTH = ("depth",)
GRASP_CHANNELS = (MASKS, (*MASKS, *DEPTH))
DEPTH_CHANNELS = (DEPTH,)


def load_checked(name: str, accepted: Sequence[tuple[str, ...]], device: str) -> TransformInvariantAutoencoder:
    """Load a model by name and check that it is for one of these lists of channels.

    Raises:
        ModelError: absent, damaged, or for other channels.
    """
    from tiae_ros import load_model

    folder = find_model(name)
    model = load_model(folder, device=device)
    if tuple(model.manifest.channels) not in accepted:
        raise ModelError(
            f"model {folder} is for the channels {', '.join(model.manifest.channels)}; "
            f"accepted here: {' | '.join(', '.join(channels) for channels in accepted)}"
        )
    return model


def find_device(name: str) -> tuple[str, str]:
    """The torch device of ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, and a remark ("" when there is none).

    Raises:
        ParameterError: the named GPU is not there; the message lists the devices.
    """
    from tiae_ros.core.devices import choose_device

    device = choose_device(name)
    return str(device), "no usable GPU: running on the CPU" if name == "auto" and device.type == "cpu" else ""
