"""The network for patterns that stay where they are: what it starts from."""

import pytest
import torch
from test_poses import blob

from tiae_ros.core.still_network import StillNetwork
from tiae_training.networks.layers import lowest_waves


@pytest.mark.parametrize(("channels", "count"), [(1, 5), (2, 9), (1, 16)])
def test_waves_are_orthonormal_and_lowest_first(channels, count):
    waves = lowest_waves(channels, 4, count)
    torch.testing.assert_close(waves @ waves.T, torch.eye(count), atol=1e-5, rtol=0)
    flat = torch.zeros(channels, 4, 4)
    flat[0] = 0.25
    torch.testing.assert_close(waves[0].view(channels, 4, 4), flat)


def test_waves_by_hand():
    waves = lowest_waves(1, 2, 4).view(4, 2, 2)
    expected = 0.5 * torch.tensor([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]])
    torch.testing.assert_close(waves, expected.float())


def test_more_numbers_than_waves_stay_silent():
    waves = lowest_waves(1, 2, 6)
    assert waves.shape == (6, 4)
    assert not waves[4:].any()


def test_untrained_it_restores_a_smooth_pattern_dimmed():
    """Half of each pixel (an undecided sigmoid), through its lowest waves: the pattern, at about half its ink."""
    torch.manual_seed(0)
    network = StillNetwork(1, 32, 100).eval()
    image = blob()
    descriptors, shifts = network.forward_encoder(image)
    restored = network.decode(descriptors)
    assert not shifts.any()
    alike = torch.cosine_similarity(restored.flatten(1), image.flatten(1))
    assert float(alike.detach()) > 0.99
    assert 0.4 < float((restored.sum() / image.sum()).detach()) < 0.6
