"""The fast pass: the plain network's numbers, for every network, also after its weights change."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tiae_ros import TransformInvariantAutoencoder
from tiae_ros.core import fused_convolutions, half_weights
from tiae_ros.core.inference import FastPass, folded, one_pass
from tiae_ros.model.folder import round_weights
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.network import Network


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


def both_halves(fast: FastPass, network: Network, windows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What `one_pass` returns, by the fast pass."""
    descriptors, parameters = fast.encode(network, windows)
    restored, placed = fast.restore(network, descriptors, parameters)
    return descriptors, restored, parameters[:, :2].contiguous(), placed


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
            assert_same(both_halves(fast, network, windows), one_pass(network, windows))
            assert_same(fast(network, windows), one_pass(network, windows))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["voting-half", "voting-surface", "voting-relief"])
def test_joined_layers_give_the_plain_network_s_numbers_in_fewer_steps(name, channels):
    network, windows = trained(name, channels), torch.rand(3, channels, 32, 32)
    joined = folded(network).joined()

    def products(one: torch.nn.Module) -> int:
        return sum(isinstance(module, torch.nn.Linear) for module in one.modules())

    assert products(joined) == products(network) - 3
    with torch.inference_mode():
        assert_same([part.contiguous() for part in one_pass(joined, windows)], one_pass(network, windows))
        unfolded = copy.deepcopy(network).joined()  # joins what there is
        assert_same([part.contiguous() for part in one_pass(unfolded, windows)], one_pass(network, windows))


@pytest.mark.parametrize("count", [1, 3])
def test_large_matrices_that_float16_holds_are_kept_in_it(count):
    network, windows = trained("voting-surface", 3), torch.rand(count, 3, 32, 32)
    round_weights(network)
    fast = FastPass()
    with torch.inference_mode():
        assert_same(fast(network, windows), one_pass(network, windows))
    kept = [type(layer) for layer in fast._folded.modules() if isinstance(layer, half_weights.HalfWeightsLinear)]
    # The painter's, and what gathers the eyes' features, into which a normalisation was folded.
    assert len(kept) == (2 if half_weights._available() else 0)


@pytest.mark.parametrize("value", [1 / 3, float("inf"), float("nan")])
def test_matrices_that_float16_does_not_hold_stay_as_they_are(value):
    layer = torch.nn.Linear(600, 500).requires_grad_(False)
    layer.weight.fill_(0.5)
    layer.weight[1, 2] = value
    network = torch.nn.Sequential(layer)
    half_weights.half_weights_where_exact(network)
    assert network[0] is layer


def test_matrices_stay_where_the_operators_give_other_numbers(monkeypatch):
    monkeypatch.setattr(torch, "fbgemm_linear_fp16_weight_fp32_activation", lambda values, packed, bias: values)
    monkeypatch.setattr(half_weights, "_available", half_weights._available.__wrapped__)  # what it found is not kept
    layer = torch.nn.Linear(600, 500).requires_grad_(False)
    layer.weight.fill_(0.5)
    network = torch.nn.Sequential(layer)
    half_weights.half_weights_where_exact(network)
    assert network[0] is layer


def test_no_normalisation_is_left_and_the_network_itself_is_untouched():
    network = trained("voting")
    before = copy.deepcopy(network.state_dict())
    kinds = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
    assert not any(isinstance(module, kinds) for module in folded(network).modules())
    assert any(isinstance(module, kinds) for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 2), (5, 2)])
@pytest.mark.parametrize("activation", [torch.nn.ReLU(), torch.nn.SiLU(), torch.nn.Tanh(), None])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_fused_convolution_gives_the_same_for_inputs_of_any_size(kernel, stride, activation, memory):
    """Also of another size and number than that which the kernel was laid out for."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(6, 16, kernel, stride=stride, padding=kernel // 2)]
    plain = torch.nn.Sequential(*layers, *([activation] if activation else []))
    fused = copy.deepcopy(plain)
    fused_convolutions.fuse_convolutions(fused)
    with torch.inference_mode():
        for shape in ((1, 6, 64, 80), (1, 6, 64, 80), (3, 6, 64, 80), (1, 6, 17, 33), (2, 6, 1, 1)):
            images = torch.randn(shape).contiguous(memory_format=memory)
            torch.testing.assert_close(fused(images), plain(images), atol=1e-5, rtol=1e-4)


def test_without_the_fusing_operators_layers_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(fused_convolutions, "_available", lambda: False)
    network, windows = trained("voting-half"), torch.rand(1, 2, 32, 32)
    plain = folded(network)
    assert not any(isinstance(module, fused_convolutions.FusedConvolution) for module in plain.modules())
    with torch.inference_mode():
        assert_same([part.contiguous() for part in one_pass(plain, windows)], one_pass(network, windows))


def test_making_the_copy_leaves_the_seed_alone_and_frees_what_it_laid_out():
    network, windows = trained("voting-half"), torch.rand(1, 2, 32, 32)
    fused_convolutions._available.cache_clear()
    torch.manual_seed(5)
    folded(network)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)

    def memory_after(copies: int) -> int:
        with torch.inference_mode():
            for _ in range(copies):
                one = folded(network)
                one_pass(one, windows), one_pass(one, windows)
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    before = memory_after(20)
    assert memory_after(40) - before < 5_000  # kB; 40 copies have 400 MB of weights


def test_weights_that_change_are_noticed():
    network, windows, fast = trained("voting"), torch.rand(1, 2, 32, 32), FastPass()
    both_halves(fast, network, windows)
    changes = [
        lambda: network.load_state_dict(trained("voting", seed=1).state_dict()),
        lambda: torch.nn.init.normal_(next(network.parameters())),
        lambda: network.train().forward_encoder(torch.rand(8, 2, 32, 32)) and network.eval(),  # running means
    ]
    for change in changes:
        change()
        with torch.no_grad():
            assert_same(both_halves(fast, network, windows), one_pass(network, windows))
    other = trained("voting", seed=2)
    with torch.no_grad():
        assert_same(both_halves(fast, other, windows), one_pass(other, windows))


def test_a_network_in_training_stays_in_training():
    network = trained("voting").train()
    means = [value.clone() for name, value in network.named_buffers() if name.endswith("running_mean")]
    both_halves(FastPass(), network, torch.rand(8, 2, 32, 32))
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
