"""The mean of the weights of networks that began from one another.

Wortsman et al. 2022, "Model soups", arXiv 2203.05482; of a network and what it began from: "Robust fine-tuning of
zero-shot models", arXiv 2109.01903. It does what each of them has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

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
