"""Networks and the model's doors: shapes, kinds, conventions, refusals."""

import numpy as np
import pytest
import torch

from tiae_ros import TransformInvariantAutoencoder
from tiae_ros.core.surface_network import on_cover
from tiae_ros.errors import DataError, ModelError
from tiae_training.networks.config import NETWORKS
from tiae_training.transforms.shifts import shift_images, shift_images_subpixel


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_network_has_the_same_doors(network, channels):
    model = TransformInvariantAutoencoder(channels, network=network)
    images = np.random.default_rng(0).random((3, channels, 32, 32), dtype=np.float32)
    descriptors = model.encode(images)
    assert descriptors.shape == (3, 30)
    assert model.decode(descriptors).shape == images.shape
    assert model.estimate_shift(images).shape == (3, 2)
    assert model.estimate_shift(images, compare=True).shape == (3, 2)
    np.testing.assert_allclose(model.restore(images), model.decode(descriptors), atol=1e-5)
    assert np.abs(model.place(images)).max() <= 1.0


def test_the_slides_networks_have_the_slides_sizes():
    sizes = {
        "slide-fc": [(1500, 1024), (150, 1500), (30, 150), (150, 30), (1500, 150), (1024, 1500)],
        "slide-cnn": [(1500, 12 * 12 * 16), (150, 1500), (30, 150), (150, 30), (1500, 150), (1024, 1500)],
    }
    for name, expected in sizes.items():
        network = NETWORKS[name](1, 32, 30)
        layers = [m for part in (network.encoder, network.decoder) for m in part if isinstance(m, torch.nn.Linear)]
        assert [tuple(layer.weight.shape) for layer in layers] == expected


def test_results_are_of_the_kind_that_went_in():
    model = TransformInvariantAutoencoder(1)
    assert isinstance(model.encode(np.zeros((2, 1, 32, 32), np.float32)), np.ndarray)
    assert isinstance(model.encode(torch.zeros(2, 1, 32, 32)), torch.Tensor)
    for part in vars(model.infer(np.zeros((2, 1, 32, 32), np.float32))).values():
        assert isinstance(part, np.ndarray)


def test_bytes_and_floats_mean_the_same():
    model = TransformInvariantAutoencoder(1)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 32, 32), dtype=np.uint8)
    np.testing.assert_allclose(model.encode(pixels), model.encode(pixels.astype(np.float32) / 255), atol=1e-6)


def test_no_windows_and_many_windows():
    model = TransformInvariantAutoencoder(1, descriptor_size=4)
    assert model.encode(np.zeros((0, 1, 32, 32), np.float32)).shape == (0, 4)
    assert model.encode(np.zeros((1100, 1, 32, 32), np.uint8)).shape == (1100, 4)


def test_one_pass_yields_what_the_single_doors_yield():
    model = TransformInvariantAutoencoder(2)
    # Faint windows: descriptors of bright ones are so large that float32 does not tell 1e-6 apart.
    images = np.random.default_rng(2).random((4, 2, 32, 32), dtype=np.float32) / 8
    result = model.infer(images)
    np.testing.assert_allclose(result.descriptor, model.encode(images), atol=1e-6)
    np.testing.assert_allclose(result.shift, model.estimate_shift(images), atol=1e-6)
    np.testing.assert_allclose(result.placed, model.place(images), atol=1e-6)
    moved = shift_images_subpixel(torch.from_numpy(result.restored), torch.from_numpy(result.shift))
    np.testing.assert_allclose(result.placed, moved.numpy(), atol=1e-6)


@pytest.mark.parametrize("name", ["voting-half", "voting-pose", "slide-fc"])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_both_halves_of_a_pass_yield_what_one_does(name, kind):
    model = TransformInvariantAutoencoder(2, network=name)
    images = kind(np.random.default_rng(2).random((3, 2, 32, 32), dtype=np.float32))
    whole, description = model.infer(images), model.describe(images)
    for first, other in zip(vars(model.restore_described(description)).values(), vars(whole).values(), strict=True):
        assert type(first) is type(images)
        np.testing.assert_allclose(first, other, rtol=0, atol=1e-6)  # some CPUs add up in another order
    np.testing.assert_array_equal(description.descriptor, whole.descriptor)
    np.testing.assert_array_equal(description.parameters[:, :2], whole.shift)


def test_a_surface_lies_on_what_the_masks_cover():
    restored = torch.tensor([0.5, 0.25, 0.8, 1.0, 1.0, 0.6, -0.5, 0.0, 0.4]).view(3, 3, 1, 1)
    seen = on_cover(restored)
    assert torch.equal(seen[:, :2], restored[:, :2])
    torch.testing.assert_close(seen[:, 2].flatten(), torch.tensor([0.6, 0.6, 0.0]))  # covered by 0.75, 1 and 0
    assert torch.equal(on_cover(restored[:, :1]), restored[:, :1])


def test_depth_s_errors_do_not_move_outlines():
    restored = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    on_cover(restored)[:, 2].sum().backward()
    assert not restored.grad[:, :2].any()
    assert restored.grad[:, 2].all()


def test_a_relief_begins_as_what_straight_layers_restore_with_steeper_outlines():
    network = NETWORKS["voting-relief"](1, 32, 96).eval()
    window = torch.zeros(1, 1, 32, 32)
    window[:, :, 8:24, 8:24] = 0.5
    with torch.no_grad():
        restored = network.decode(network.describe_straight(window.flatten(1)))
    assert restored[0, 0, 16, 16] == pytest.approx(0.5, abs=0.03)
    assert restored[0, 0, 2, 2] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("name", ["voting", "voting-half", "voting-surface", "voting-relief"])
def test_the_voted_centre_moves_with_the_pattern(name):
    """Equivariance holds before any training, for every pattern that stays clear of the window's edge.

    At half resolution it is exact for even shifts.
    """
    torch.manual_seed(0)
    network = NETWORKS[name](1, 32, 30).eval()
    pattern = torch.zeros(1, 1, 32, 32)
    pattern[:, :, 13:19, 12:20] = torch.rand(1, 1, 6, 8)
    with torch.no_grad():
        still = network.forward_encoder(pattern)[1]
        for shift in ([2, 0], [0, -2], [-2, 2], *([[-1, 2]] if name == "voting" else [])):
            moved = network.forward_encoder(shift_images(pattern, torch.tensor([shift])))[1]
            torch.testing.assert_close(moved - still, torch.tensor([shift], dtype=torch.float32), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((2, 2, 32, 32), np.float32), "channels"),
        (np.zeros((2, 1, 31, 32), np.float32), "32×32"),
        (np.zeros((1, 32, 32), np.float32), "N, 1, 32, 32"),
        (np.zeros((2, 1, 32, 32), np.int64), "uint8"),
        ([[1.0]], "numpy"),
    ],
)
def test_windows_of_another_kind_are_refused(images, said):
    with pytest.raises(DataError, match=said):
        TransformInvariantAutoencoder(1).encode(images)


def test_descriptors_of_another_size_are_refused():
    with pytest.raises(DataError, match=r"\(N, 30\)"):
        TransformInvariantAutoencoder(1).decode(np.zeros((2, 29), np.float32))


def test_an_impossible_window_is_a_model_error():
    with pytest.raises(ModelError, match="multiple of 4"):
        TransformInvariantAutoencoder(1, window_size=30)
    with pytest.raises(ModelError, match="known networks"):
        TransformInvariantAutoencoder(1, network="resnet")


def test_arrays_of_any_layout_mean_the_same(recwarn):
    model = TransformInvariantAutoencoder(1)
    images = np.random.default_rng(5).random((2, 1, 32, 32), dtype=np.float32)
    expected = model.encode(images)
    frozen = np.frombuffer(images.tobytes(), np.float32).reshape(images.shape)  # as it comes out of a message
    for same in (frozen, images.astype(">f4"), images.astype(np.float64), np.asfortranarray(images)):
        np.testing.assert_allclose(model.encode(same), expected, atol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize("value", [np.nan, np.inf, 255.0, -1.0])
def test_floats_that_are_no_pixels_are_refused(value):
    images = np.zeros((1, 1, 32, 32), np.float32)
    images[0, 0, 3, 4] = value
    with pytest.raises(DataError, match="0 to 1"):
        TransformInvariantAutoencoder(1).restore(images)
