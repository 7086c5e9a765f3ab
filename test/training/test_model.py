"""The torch module of a model folder: saved and read back, its weights rounded, the same numbers without torch."""

import dataclasses

import numpy as np
import pytest
import torch

from tiae_ros import load_model
from tiae_ros.errors import ModelError
from tiae_ros.model.folder import WEIGHTS, read_folder, write_folder
from tiae_training import TransformInvariantAutoencoder, load_network
from tiae_training.export import save_model
from tiae_training.model import round_weights, rounded, weights_of


@pytest.fixture(scope="module", params=["pose", "standard"])
def saved(request, tmp_path_factory):
    """A small untrained model with prototypes, and the folder it was saved in."""
    torch.manual_seed(3)
    model = TransformInvariantAutoencoder.fresh(("mask",), 16, 4, network=request.param)
    with torch.no_grad():  # so that the pose is more than a vote
        torch.nn.init.normal_(model.network.pose_head.weight, std=0.01)
    model.manifest = dataclasses.replace(model.manifest, prototype_names=("mug", "pen"), prototype_radius=1.0)
    model.prototypes = np.float32([[0, 0, 0, 0], [5, 0, 0, 0]])
    folder = tmp_path_factory.mktemp("model") / request.param
    manifest = save_model(model, folder)
    assert manifest == model.manifest == read_folder(folder).manifest
    return model, folder


def test_a_saved_model_is_read_back(saved):
    model, folder = saved
    again = load_network(folder)
    windows = torch.rand(3, 1, 16, 16)
    assert not again.training
    for one, other in zip(again(windows), model(windows), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(again.prototypes, model.prototypes)
    again.encode(windows).sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in again.parameters())
    assert not list(folder.glob("*.new"))
    assert (folder / "card.md").is_file()


def test_it_is_the_same_without_torch(saved):
    model, folder = saved
    plain, windows = load_model(folder), torch.rand(7, 1, 16, 16)
    with torch.inference_mode():
        descriptors, parameters = model.network.forward_encoder(windows)
        restored = model.decode(descriptors)
    width = parameters.shape[1]
    torch.testing.assert_close(plain.encode(windows), descriptors, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain.estimate_parameters(windows)[:, :width], parameters, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain.restore(windows), restored, atol=1e-4, rtol=0)
    assert plain.label(np.float32([4.5, 0, 0, 0])) == "pen"
    assert plain.label(np.float32([2.5, 0, 0, 0])) == ""


def test_weights_that_do_not_fit_are_refused(saved, tmp_path):
    content = read_folder(saved[1])
    other = dataclasses.replace(content.manifest, network={**content.manifest.network, "hidden": 8})
    unknown = dataclasses.replace(content.manifest, network={"name": "standard", "depth": 3})
    without = {name: data for name, data in content.files.items() if name != WEIGHTS}
    for manifest, files, said in (
        (other, content.files, "does not fit"),
        (unknown, content.files, "accepted are name and"),
        (content.manifest, {**content.files, WEIGHTS: b"garbage"}, "not a safetensors file"),
        (content.manifest, without, "can run, but not be trained"),
    ):
        write_folder(tmp_path / "model", manifest, files)
        with pytest.raises(ModelError, match=said) as caught:
            load_network(tmp_path / "model")
        assert "\n" not in str(caught.value)


def test_a_manifest_cannot_ask_for_more_than_there_is(saved, tmp_path):
    """A network of 137 GB by a line of JSON: refused before it is built."""
    content = read_folder(saved[1])
    network = {**content.manifest.network, "hidden": 65536, "decoder_hidden": 65536}
    manifest = dataclasses.replace(content.manifest, network=network, window_size=256)
    write_folder(tmp_path, manifest, content.files)
    with pytest.raises(ModelError, match=r"bytes for \d+ weights"):
        load_network(tmp_path)


def test_rounded_weights_take_half_the_space():
    torch.manual_seed(3)
    network, windows = TransformInvariantAutoencoder.fresh(2).network.eval(), torch.rand(3, 2, 32, 32)
    whole, exact = len(weights_of(network)), network.decode(network.forward_encoder(windows)[0])
    round_weights(network)
    assert len(weights_of(network)) < 0.55 * whole
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    assert (network.decode(network.forward_encoder(windows)[0]) - exact).abs().max() < 0.02


def test_matrices_are_rounded_and_vectors_are_not():
    # The largest of the first output is below 128, so that its step is 1; that of the second below 1/16, so 1/2048.
    values = torch.tensor([[100.7, -3.4, 1e-9, 64.5], [-0.0615, 0.0335, 3 / 2048, 0.0]])
    wanted = torch.tensor([[101.0, -3.0, 0.0, 64.0], [-126 / 2048, 69 / 2048, 3 / 2048, 0.0]])
    assert torch.equal(rounded(values), wanted)
    vector = values[0]
    assert rounded(vector) is vector
    for beyond in (1e6, float("inf"), float("nan")):  # what float16 does not hold
        whole = torch.tensor([[beyond, 1.003]])
        assert rounded(whole) is whole


def test_rounded_matrices_stay_as_they_are():
    torch.manual_seed(1)
    kernels = torch.randn(500, 4, 3, 3) * torch.logspace(-3, 3, 500)[:, None, None, None]
    kernels[0] = 0
    kernels[1, 0, 0, 0] = 127.9 / 128  # no 128th step is made of it, or its output would have other steps next time
    kernels[1, 0, 0, 1:] = 0.1
    once = rounded(kernels)
    assert torch.equal(rounded(once), once)
    assert float((once - kernels).norm() / kernels.norm()) < 0.02
