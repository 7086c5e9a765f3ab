"""A device's name -> the torch device, for training."""

from __future__ import annotations

import torch

from tiae_ros.model.devices import device_among

Device = torch.device


def available_devices() -> list[str]:
    """``cpu``, then ``cuda:0``, ``cuda:1`` and so on, as far as torch has them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu", *(f"cuda:{index}" for index in range(count))]


def choose_device(name: str | torch.device) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda`` (the first) or ``cuda:N``.

    Raises ParameterError, in one line with the devices there are, for anything else.
    """
    return torch.device(device_among(available_devices(), str(name)))
