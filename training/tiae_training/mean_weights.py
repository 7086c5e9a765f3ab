"""The mean of the weights of networks that began from one another.

Wortsman et al. 2022, "Model soups", arXiv 2203.05482; of a network and what it began from: "Robust fine-tuning of
zero-shot models", arXiv 2109.01903. It does nearly what each of them has learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiae_ros.errors import ModelError


def mean_weights(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """What `load_state_dict` of another network like these takes. Raises ModelError where they differ in shape."""
    states = [network.state_dict() for network in networks]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(one != shapes[0] for one in shapes):
        raise ModelError("networks of different shapes have no mean; give some that began from one another")
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }


def origins(folders: Sequence[str | Path], trainings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a mean's manifest says of the training of each part, by the names of their folders."""
    result: dict[str, Any] = {}
    for number, (folder, training) in enumerate(zip(folders, trainings, strict=True), 1):
        name = f"of {Path(folder).name}"
        result[f"{name} ({number})" if name in result else name] = dict(training)
    return result
