"""A device's name -> the torch device, for training."""

from __future__ import annotations

import torch

from tiae_ros.errors import ParameterError


def available_devices() -> list[str]:
    """``cpu``, then ``cuda:0``, ``cuda:1`` and so on, as far as torch has them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu", *(f"cuda:{index}" for index in range(count))]


def choose_device(name: str | torch.device) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda`` (the first) or ``cuda:N``.

    Raises ParameterError, in one line with the devices there are, for anything else.
    """
    names = available_devices()
    if name == "auto":
        return torch.device(names[min(1, len(names) - 1)])
    asked = "cuda:0" if str(name) == "cuda" else str(name)
    if asked not in names:
        raise ParameterError(f"device {name} is not there; devices of this machine: {', '.join(names)} (or auto)")
    return torch.device(asked)
