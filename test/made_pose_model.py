"""A pose model whose weights are written by hand: a pattern's angle is where, from its middle, the object lies."""

from __future__ import annotations

import math

import torch

from tiae_training.model import TransformInvariantAutoencoder
from tiae_training.networks.pose_votes import RADII, CircularConvolution, PoseVotes

CHANNELS = ("hand_mask", "object_mask")
SCALE = 1.25  # of everything
_HELD = CHANNELS.index("object_mask")


def points_at_the_object(sharpness: float = 3.0) -> TransformInvariantAutoencoder:
    """A direction is the likelier the more of the object lies there, within 28° of it.

    The middle is that of hand and object, as far as blocks of 4×4 pixels tell it.
    """
    torch.manual_seed(0)
    model = TransformInvariantAutoencoder.fresh(CHANNELS, descriptor_size=8, network="pose").eval()
    votes: PoseVotes = model.network.find_pose
    with torch.no_grad():
        centre_by_ink(votes)
        first, *others = (layer.convolution for layer in votes.around if isinstance(layer, CircularConvolution))
        first.weight.zero_()
        first.weight[0, RADII * _HELD : RADII * (_HELD + 1)] = 1.0 / first.weight.shape[-1]  # on five directions
        for layer in others:
            layer.weight.zero_()
            layer.weight[0, 0, 2] = 1.0
        votes.around[-1].weight.zero_()
        votes.around[-1].weight[0, 0] = sharpness
        votes.around[-1].bias.copy_(torch.tensor([0.0, 0.0, math.log(SCALE)]))
    return model


@torch.no_grad()
def centre_by_ink(votes: PoseVotes) -> None:
    """Let each block vote for its own place, so that the centre is the middle of what is seen."""
    votes.voters[-1].weight.zero_()
    votes.voters[-1].bias.zero_()
