"""The fast pass: the plain network's numbers, for every network, also after its weights change."""

import copy
import pickle

import numpy as np
import pytest
import torch

from tiae_ros import TransformInvariantAutoencoder
from tiae_ros.core.inference import FastPass, folded, one_pass
from tiae_ros.core.networks import NETWORKS, Network


def trained(name: str, channels: int = 2, seed: int = 0) -> Network:
    """A network whose normalisation layers have seen data, as after training."""
    torch.manual_seed(seed)
    network = NETWORKS[name](channels, 32, 30).train()
    with torch.no_grad():
        for _ in range(3):
            network.decode(network.forward_encoder(torch.rand(16, channels, 32, 32))[0])
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2.0)
                module.bias.uniform_(-0.5, 0.5)
    return network.eval()


def assert_same(fast, plain):
    for one, other in zip(fast, plain, strict=True):
        assert one.is_contiguous()
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_fast_pass_gives_the_plain_network_s_numbers(name, count):
    network, windows = trained(name), torch.rand(count, 2, 32, 32)
    fast = FastPass()
    with torch.inference_mode():
        for _ in range(2):  # the second time by the copy that is there
            assert_same(fast(network, windows), one_pass(network, windows))


def test_no_normalisation_is_left_and_the_network_itself_is_untouched():
    network = trained("voting")
    before = copy.deepcopy(network.state_dict())
    kinds = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
    assert not any(isinstance(module, kinds) for module in folded(network).modules())
    assert any(isinstance(module, kinds) for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_weights_that_change_are_noticed():
    network, windows, fast = trained("voting"), torch.rand(1, 2, 32, 32), FastPass()
    fast(network, windows)
    changes = [
        lambda: network.load_state_dict(trained("voting", seed=1).state_dict()),
        lambda: torch.nn.init.normal_(next(network.parameters())),
        lambda: network.train().forward_encoder(torch.rand(8, 2, 32, 32)) and network.eval(),  # running means
    ]
    for change in changes:
        change()
        with torch.no_grad():
            assert_same(fast(network, windows), one_pass(network, windows))
    other = trained("voting", seed=2)
    with torch.no_grad():
        assert_same(fast(other, windows), one_pass(other, windows))


def test_a_network_in_training_stays_in_training():
    network = trained("voting").train()
    means = [value.clone() for name, value in network.named_buffers() if name.endswith("running_mean")]
    FastPass()(network, torch.rand(8, 2, 32, 32))
    after = [value for name, value in network.named_buffers() if name.endswith("running_mean")]
    assert network.training
    assert not any(torch.equal(one, other) for one, other in zip(means, after, strict=True))


def test_a_model_that_has_inferred_can_be_copied_and_its_weights_are_its_own():
    model = TransformInvariantAutoencoder(1)
    names = set(model.state_dict())
    images = np.random.default_rng(0).random((1, 1, 32, 32), dtype=np.float32)
    expected = model.infer(images).placed
    assert set(model.state_dict()) == names
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(same.infer(images).placed, expected, atol=1e-6)
