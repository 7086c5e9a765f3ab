"""Doors of a model that knows poses, on a network whose answers are known: what they cost, how exact they are."""

import math

import numpy as np
import pytest
import torch
from test_poses import blob

from tiae_ros import TransformInvariantAutoencoder
from tiae_ros.model.manifest import Manifest
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.network import Network
from tiae_training.transforms.poses import place_by_pose, wrap_angle
from tiae_training.transforms.similarity import Similarity

COUNT = 60
POSES = Similarity(5, math.pi, 1.4)


class Told(Network):
    """Knows the pattern, and each window's pose roughly; counts how often it is asked."""

    def __init__(self, poses: torch.Tensor) -> None:
        super().__init__(1, 32, 4)
        self.poses = torch.nn.Parameter(poses, requires_grad=False)
        self.encoded = self.decoded = 0

    def forward_encoder(self, images):
        self.encoded += 1
        return images.new_zeros(len(images), 4), self.poses

    def decode(self, descriptors):
        self.decoded += 1
        return blob().repeat(len(descriptors), 1, 1, 1)


@pytest.fixture
def windows_and_poses():
    generator = torch.Generator().manual_seed(3)
    poses = POSES.draw(COUNT, generator, torch.device("cpu"))
    poses[:, :2] = poses[:, :2] * 0.6 + 0.3  # not whole pixels
    rough = poses + torch.tensor([1.0, -1.0, math.radians(9.0), 0.08]) * (
        2.0 * torch.rand(COUNT, 4, generator=generator) - 1.0
    )
    return place_by_pose(blob().repeat(COUNT, 1, 1, 1), poses).clamp(0.0, 1.0), poses, rough


def model_of(poses: torch.Tensor) -> TransformInvariantAutoencoder:
    manifest = Manifest(
        model_id="told",
        network="voting-pose",
        channels=("digit",),
        window_size=32,
        descriptor_size=4,
        transforms=POSES.ranges(),
    )
    model = TransformInvariantAutoencoder(manifest=manifest)
    model.network = Told(poses)
    return model


def errors(found: torch.Tensor, true: torch.Tensor) -> tuple[float, float, float]:
    """Largest of shift (px), angle (degrees) and scale (share)."""
    angle = torch.rad2deg(wrap_angle(found[:, 2] - true[:, 2]).abs())
    return (
        float((found[:, :2] - true[:, :2]).abs().max()),
        float(angle.max()),
        float(torch.expm1((found[:, 3] - true[:, 3]).abs()).max()),
    )


def test_estimates_cost_one_pass_of_the_encoder(windows_and_poses):
    windows, _, rough = windows_and_poses
    model = model_of(rough)
    assert torch.equal(model.estimate_parameters(windows), rough)
    assert torch.equal(model.estimate_shift(windows), rough[:, :2])
    assert (model.network.encoded, model.network.decoded) == (2, 0)


def test_comparing_finds_the_pose_itself(windows_and_poses):
    windows, poses, rough = windows_and_poses
    model = model_of(rough)
    compared = model.estimate_parameters(windows, compare=True)
    shift, angle, scale = errors(compared, poses)
    assert shift < 0.1
    assert angle < 1.0
    assert scale < 0.01
    assert torch.equal(model.estimate_shift(windows, compare=True), compared[:, :2])
    assert min(errors(rough, poses)) > 0.05  # what it started from was far worse


def test_the_placed_pattern_lies_on_the_input(windows_and_poses):
    windows, poses, rough = windows_and_poses
    for given, limit in ((poses, 0.002), (rough, 0.5)):
        placed = model_of(given).place(windows)
        apart = (placed - windows).square().sum((1, 2, 3)) / windows.square().sum((1, 2, 3))
        assert float(apart.mean()) < limit
    inferred = model_of(poses).infer(windows.numpy())
    np.testing.assert_allclose(inferred.placed, model_of(poses).place(windows.numpy()), atol=1e-6)


@pytest.mark.parametrize(("network", "multiple"), [("voting-pose", "multiple of 4"), ("still", "even")])
def test_networks_take_windows_of_other_sizes_and_channels(network, multiple):
    built = NETWORKS[network](2, 16, 5)
    descriptors, found = built.eval().forward_encoder(torch.rand(3, 2, 16, 16))
    assert descriptors.shape == (3, 5)
    assert found.shape == (3, 4 if network == "voting-pose" else 2)
    assert built.decode(descriptors).shape == (3, 2, 16, 16)
    with pytest.raises(ValueError, match=multiple):
        NETWORKS[network](1, 17, 5)


def test_the_pose_network_turns_its_answer_with_the_window():
    """Untrained: what its votes say follows a quarter turn exactly, since the log-polar grid has no seam."""
    torch.manual_seed(0)
    network = NETWORKS["voting-pose"](1, 32, 5).eval()
    centred = torch.zeros(1, 2)
    image = blob()
    turned = torch.rot90(image, -1, (2, 3))  # from x towards y
    with torch.no_grad():
        one, other = network.find_turn(image, centred), network.find_turn(turned, centred)
    assert float(wrap_angle(other[0, 0] - one[0, 0])) == pytest.approx(math.pi / 2, abs=1e-3)
    assert float(other[0, 1]) == pytest.approx(float(one[0, 1]), abs=1e-3)


def test_a_blank_window_has_a_pose_and_gradients():
    network = NETWORKS["voting-pose"](1, 32, 5)
    descriptors, poses = network.forward_encoder(torch.zeros(4, 1, 32, 32))
    (descriptors.sum() + poses.sum()).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert torch.isfinite(poses).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
