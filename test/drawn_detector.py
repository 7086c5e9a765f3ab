"""A hand detector whose weights are written by hand: both looks go by depth alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiae_ros.vision.detection import close_up, proposals
from tiae_training.detection.networks import Detector

NEAR_CELLS = 64.0  # a hand that would be so many cells long is near


def near_is_hand() -> Detector:
    """The first look proposes the middles of near regions; the second takes for hand what is as far as its middle."""
    with torch.random.fork_rng(devices=[]):  # vectors stay as they are drawn, whatever was drawn before
        torch.manual_seed(0)
        detector = Detector((8, 8, 8, 8), (0, 0, 0, 0), (8, 8, 8, 8, 8), (0, 0, 0, 0, 0)).eval()
    with torch.no_grad():
        for parameter in detector.parameters():
            if parameter.ndim > 1:
                parameter.zero_()
        first, second = detector.proposals, detector.close_up
        _weights(first.halved)[0, 3] = 1 / 9  # of plane 3, a hand's length here in cells / 64
        for layer in (first.quartered, first.blocks, nn.Sequential(first.joined)):
            _weights(layer)[0, 0] = 1 / 9  # a mean over more and more: highest in the middle of what is near
        first.answers.weight[0, 0] = 20.0
        first.answers.bias.zero_()
        first.answers.bias[0] = -20.0 * NEAR_CELLS / 64
        first.answers.bias[4] = 1.0  # arms come from below
        first.answers.bias[5] = float(proposals.log_length(NEAR_CELLS))

        sharp = _weights(second.at_1)
        sharp[0, 3, 1, 1], sharp[1, 3, 1, 1] = 1.0, -1.0  # behind and before the reference
        sharp[2, 4, 1, 1] = -1.0  # nothing read
        second.at_1[0][1].bias[2] = 1.0
        for channel in range(3):
            second.at_full[0].weight[channel, channel, 1, 1] = 1.0
        second.classes.bias.copy_(torch.tensor([0.0, 0.5, -10.0, -10.0]))
        second.classes.weight[1, :3, 0, 0] = -1.0
        second.facts.bias.copy_(torch.tensor([4.0, -3.0, 0.0, 0.0, 0.0, 1.0]))
    assert second.classes.out_channels == close_up.CLASSES
    return detector


def _weights(stage: nn.Sequential) -> Tensor:
    """(made, given, 3, 3) of a stage's first convolution."""
    convolution = stage[0][0]
    assert isinstance(convolution, nn.Conv2d)
    return convolution.weight
