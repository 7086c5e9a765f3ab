"""Networks of every configuration: shapes, what they begin as, what moves with the pattern."""

import numpy as np
import pytest
import torch

from tiae_ros.errors import ModelError
from tiae_training import TransformInvariantAutoencoder
from tiae_training.networks.angle_shares import ANGLES
from tiae_training.networks.config import NETWORKS, NetworkConfig, default_network
from tiae_training.networks.layers import lowest_waves
from tiae_training.networks.network import build_network
from tiae_training.networks.pattern import _on_masks
from tiae_training.networks.segmentation import SegmentationNetwork, segmentation_network
from tiae_training.transforms.shifts import shift_images


def fresh(name, channels=1, window_size=32, descriptor_size=30):
    torch.manual_seed(0)
    return build_network(NETWORKS[name], channels, window_size, descriptor_size).eval()


def blob(size=32):
    """A smooth, lopsided pattern in the middle of a window."""
    axis = torch.arange(size) - (size - 1) / 2
    y, x = axis[:, None], axis[None, :]
    image = torch.exp(-((x - 3) ** 2 / 8 + y**2 / 18)) + 0.7 * torch.exp(-((x + 2) ** 2 + (y - 4) ** 2) / 6)
    return image[None, None]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (2, 20), (2, 29), (1, 30)])
def test_every_network_has_the_same_interface(name, channels, size):
    images = torch.rand(3, channels, size, size)
    network = fresh(name, channels, size)
    descriptors, parameters = network.forward_encoder(images)
    assert descriptors.shape == (3, 30)
    columns = {"none": 2, "shift": 2, "similarity": 4, "mirrored": 5}
    assert parameters.shape == (3, 2 if name.startswith("slide") else columns[NETWORKS[name].pose])
    assert network.decode(descriptors).shape == images.shape
    assert NetworkConfig.from_dict(NETWORKS[name].to_dict()) == NETWORKS[name]
    torch.manual_seed(0)
    model = TransformInvariantAutoencoder.fresh(channels, size, network=name).eval()
    torch.testing.assert_close(model.encode(images), descriptors)
    assert model(images)[0].min() >= 0
    assert model(images)[0].max() <= 1


def test_a_polar_grid_needs_a_pose():
    with pytest.raises(ModelError, match="trunk is 'polar' for pose 'shift'; accepted are similarity and mirrored"):
        NetworkConfig("mine", trunk="polar")


def test_the_small_network_is_as_small_as_its_peers():
    """169,504 numbers in O2-VAE's encoder."""
    weights = fresh("pose-small").named_parameters()
    assert sum(w.numel() for name, w in weights if "decoder" not in name.partition(".")[0]) <= 170_000


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        (("shift", "background"), "standard"),
        (("rotation",), "pose"),
        (("shift", "roll"), "steerable"),
        (("shift", "mirror"), "pose-mirrored"),
        (("shift", "scale", "background"), "pose-cleared"),
        (("mirror", "background"), "pose-mirrored-cleared"),
    ],
)
def test_kinds_choose_the_network(kinds, name):
    assert default_network(kinds) == name
    assert name in NETWORKS


def test_unknown_parts_and_sizes_are_refused():
    for parts, said in (
        ({"name": "standard", "pose": "sideways"}, "network pose is 'sideways'; accepted are none, shift"),
        ({"name": "standard", "hidden": 0}, "network hidden is 0"),
        ({"name": "standard", "width": 3}, "accepted are name and"),
        ({"pose": "shift"}, "accepted are name and"),
    ):
        with pytest.raises(ModelError, match=said):
            NetworkConfig.from_dict(parts)
    with pytest.raises(ModelError, match="network 'slide-cnn' cannot be built: window_size must be at least 9"):
        TransformInvariantAutoencoder.fresh(1, window_size=8, network="slide-cnn")


def test_the_slides_networks_have_the_slides_sizes():
    sizes = {
        "slide-fc": [(1500, 1024), (150, 1500), (30, 150), (150, 30), (1500, 150), (1024, 1500)],
        "slide-cnn": [(1500, 12 * 12 * 16), (150, 1500), (30, 150), (150, 30), (1500, 150), (1024, 1500)],
    }
    for name, expected in sizes.items():
        network = fresh(name)
        layers = [m for part in (network.encoder, network.decoder) for m in part if isinstance(m, torch.nn.Linear)]
        assert [tuple(layer.weight.shape) for layer in layers] == expected


def test_a_surface_lies_on_what_masks_cover():
    restored = torch.tensor([0.5, 0.25, 0.8, 1.0, 1.0, 0.6, -0.5, 0.0, 0.4]).view(3, 3, 1, 1).requires_grad_()
    seen = _on_masks(restored)
    assert torch.equal(seen[:, :2], restored[:, :2])
    torch.testing.assert_close(seen[:, 2].flatten(), torch.tensor([0.6, 0.6, 0.0]))  # covered by 0.75, 1 and 0
    assert torch.equal(_on_masks(restored[:, :1]), restored[:, :1])
    seen[:, 2].sum().backward()  # depth's errors do not move outlines
    assert not restored.grad[:, :2].any()
    assert restored.grad[:2, 2].all()


def test_a_relief_begins_with_steeper_outlines():
    """It is what the linear path restores, with steeper outlines."""
    network = fresh("depth", descriptor_size=96)
    window = torch.zeros(1, 1, 32, 32)
    window[:, :, 8:24, 8:24] = 0.5
    with torch.no_grad():
        restored = network.decode(network.linear_encoder(window.flatten(1)))
    assert restored[0, 0, 16, 16] == pytest.approx(0.5, abs=0.03)
    assert restored[0, 0, 2, 2] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("name", ["standard", "masks-and-depth", "depth"])
def test_the_voted_centre_moves_with_the_pattern(name):
    """Before any training, for every pattern that stays clear of the window's edge; exact for even shifts."""
    network = fresh(name)
    pattern = torch.zeros(1, 1, 32, 32)
    pattern[:, :, 13:19, 12:20] = torch.rand(1, 1, 6, 8)
    with torch.no_grad():
        still = network.forward_encoder(pattern)[1]
        for shift in ([2, 0], [0, -2], [-2, 2]):
            moved = network.forward_encoder(shift_images(pattern, torch.tensor([shift])))[1]
            torch.testing.assert_close(moved - still, torch.tensor([shift], dtype=torch.float32), atol=0.05, rtol=0)


def in_the_middle(pattern, size):
    """A pattern in a blank window, its upper left pixel always as far from pixel S // 2."""
    window, start = torch.zeros(1, 1, size, size), size // 2 - len(pattern) // 2
    window[0, 0, start : start + len(pattern), start : start + pattern.shape[1]] = pattern
    return window


def voted(name, window):
    with torch.no_grad():
        return fresh(name, window_size=window.shape[-1]).forward_encoder(window)[1][0, :2]


@pytest.mark.parametrize("size", [28, 29, 30, 31, 33, 40, 45, 64])
@pytest.mark.parametrize("name", ["standard", "depth", "pose"])
def test_votes_of_every_size_are_those_of_32(name, size):
    """A pattern is voted for where it is, counted from the centre (S - 1) / 2; and votes move with it."""
    pattern = torch.rand(6, 8, generator=torch.Generator().manual_seed(1))
    window = in_the_middle(pattern, size)
    still = voted(name, window)
    side = 4 if name == "pose" else 2  # of the blocks that vote
    for shift in ([side, side], [-4, side]):
        moved = voted(name, shift_images(window, torch.tensor([shift])))
        torch.testing.assert_close(moved - still, torch.tensor(shift).float(), atol=0.005, rtol=0)
    # Pixel S // 2 lies half a pixel right of an even side's centre and on an odd one's. Where blocks begin elsewhere in
    # the pattern than with a side of 32, an untrained vote changes by less than a third of a pixel, of blocks of 4 by
    # more.
    expected = voted(name, in_the_middle(pattern, 32)) - (0.5 if size % 2 else 0.0)
    elsewhere = {2: 0.33, 4: 0.6}[side]
    torch.testing.assert_close(still, expected, atol=0.002 if size // 2 % side == 0 else elsewhere, rtol=0)


@pytest.mark.parametrize("size", [29, 30, 31])
def test_every_pixel_of_a_window_is_seen(size):
    """Also the last column and row, which blocks of 2×2 do not reach by themselves."""
    for name in ("standard", "static", "slide-cnn"):
        network = fresh(name, window_size=size)
        for x, y in ((0, 0), (size - 1, size - 1)):
            window = torch.zeros(1, 1, size, size)
            window[0, 0, y, x] = 1.0
            window.requires_grad_()
            descriptors, shifts = network.forward_encoder(window)
            (descriptors.sum() + shifts.sum()).backward()
            assert window.grad[0, 0, y, x] != 0
            if name == "standard":
                assert shifts[0].detach().sub(torch.tensor([x, y]) - (size - 1) / 2).abs().max() < 3


def test_shares_of_angles_follow_quarter_turns():
    """Untrained, exactly: the polar grid has no seam."""
    network, centred, image = fresh("pose"), torch.zeros(1, 2), blob()
    turned = torch.rot90(image, -1, (2, 3))  # from x towards y
    with torch.no_grad():
        one, other = (network.find_pose.say_turn(seen, centred) for seen in (image, turned))
    torch.testing.assert_close(other, one.roll(ANGLES // 4, 2), atol=1e-4, rtol=0)


def test_mirrored_patterns_swap_their_shares():
    """Untrained, exactly: what stood under "plain" stands under "mirrored", by the angles of the mirrored window."""
    network, centred, image = fresh("pose-mirrored"), torch.zeros(1, 2), blob()
    with torch.no_grad():
        one, other = (network.find_pose.say_turn(seen, centred) for seen in (image, image.flip(3)))
        pose, mirrored = (network.find_pose(seen).poses for seen in (image, image.flip(3)))
    torch.testing.assert_close(other, one.roll(ANGLES, 2), atol=1e-4, rtol=0)
    assert float(mirrored[0, 4]) == 1.0 - float(pose[0, 4])


@pytest.mark.parametrize("name", NETWORKS)
def test_blank_windows_have_finite_gradients(name):
    network = fresh(name).train()
    descriptors, found = network.forward_encoder(torch.zeros(4, 1, 32, 32))
    (network.decode(descriptors).sum() + found.sum()).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert torch.isfinite(found).all()
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(("channels", "count"), [(1, 5), (2, 9), (1, 16)])
def test_waves_are_orthonormal_and_lowest_first(channels, count):
    waves = lowest_waves(channels, 4, count)
    torch.testing.assert_close(waves @ waves.T, torch.eye(count), atol=1e-5, rtol=0)
    flat = torch.zeros(channels, 4, 4)
    flat[0] = 0.25
    torch.testing.assert_close(waves[0].view(channels, 4, 4), flat)


def test_waves_by_hand():
    waves = lowest_waves(1, 2, 6)
    expected = 0.5 * torch.tensor([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]])
    torch.testing.assert_close(waves[:4].view(4, 2, 2), expected.float())
    assert not waves[4:].any()  # more numbers than waves stay silent


def test_an_untrained_static_network_dims_the_pattern():
    """Half of each pixel (an undecided sigmoid), through its lowest waves: the pattern, at about half its ink."""
    network, image = fresh("static", descriptor_size=100), blob()
    with torch.no_grad():
        descriptors, shifts = network.forward_encoder(image)
        restored = network.decode(descriptors)
    assert not shifts.any()
    assert float(torch.cosine_similarity(restored.flatten(1), image.flatten(1))) > 0.99
    assert 0.4 < float(restored.sum() / image.sum()) < 0.6


def test_segmentation_scores_have_the_grids_size():
    network = SegmentationNetwork(widths=(8, 8, 8, 8), blocks=(0, 0, 1, 1)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 9, 32, 48)).shape == (2, 3, 32, 48)
    again = segmentation_network(network.parts)
    assert (again.widths, again.blocks) == (network.widths, network.blocks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"widths": [8, 8]}, "widths"),
        ({"widths": [8, 8, 8, 1e9]}, "widths"),
        ({"widths": "8888"}, "widths"),
        ({"widths": 3}, "widths"),
        ({"widths": None}, "widths"),
        ({"widths": [[1], 2, 3, 4]}, "widths"),
        ({"blocks": [8, 8, 8, 99]}, "blocks"),
        ({"blocks": [True, 1, 1, 1]}, "blocks"),
        ({"name": "another"}, "accepted is u-net"),
        ({"nonsense": 1}, "accepted is u-net"),
    ],
)
def test_impossible_segmentation_networks_are_refused(change, said):
    with pytest.raises(ModelError, match=said):
        segmentation_network({**SegmentationNetwork().parts, **change})


def test_one_seed_one_network():
    states = [fresh("standard").state_dict() for _ in range(2)]
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(*(s.values() for s in states), strict=True))
