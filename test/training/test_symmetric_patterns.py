"""Patterns that look alike after a turn or in a mirror, seen by untrained networks: what holds by construction."""

import numpy as np
import pytest
import torch
from made_pose_model import centre_by_ink, points_at_the_object

from tiae_ros import load_model
from tiae_ros.errors import ModelError
from tiae_ros.model.ambiguity import Ambiguity, ambiguity
from tiae_training import TransformInvariantAutoencoder, load_network
from tiae_training.export import save_model
from tiae_training.transforms.polar import ANGLES, RADII

POSES = ("pose", "pose-mirrored")
SHARPNESSES = (1.0, 3000.0)  # of what an untrained network says; the second is as sure of itself as any
SIZE = 32


def encoded(name, windows, sharpness=1.0):
    torch.manual_seed(0)
    network = TransformInvariantAutoencoder.fresh(windows.shape[1], SIZE, 8, name).network.eval()
    centre_by_ink(network.find_pose)
    with torch.no_grad():
        network.find_pose.around[-1].weight[0] *= sharpness
        return network.encode_all(windows)


def random_windows(count=40, channels=2, seed=1):
    windows = torch.zeros(count, channels, SIZE, SIZE)
    generator = torch.Generator().manual_seed(seed)
    windows[..., 7:25, 7:25] = torch.rand(count, channels, 18, 18, generator=generator)
    return windows


def disc(radius, inner=0.0):
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    distance = torch.hypot(axis[:, None], axis[None, :])
    cover = (radius + 0.5 - distance).clamp(0, 1) - (inner - distance).clamp(0, 1)
    return cover.clamp(0, 1)[None, None]


@pytest.mark.parametrize(
    "moved",
    [
        lambda windows: windows.rot90(1, (2, 3)),
        lambda windows: windows.rot90(2, (2, 3)),
        lambda windows: windows.flip(-1),
        lambda windows: windows.flip(-2).rot90(3, (2, 3)),
    ],
    ids=["quarter", "half", "mirror", "both"],
)
def test_a_descriptor_on_the_polar_grid_does_not_ask_how_a_pattern_is_turned(moved):
    windows = random_windows()
    one, other = (encoded("pose-small", seen).descriptors for seen in (windows, moved(windows)))
    assert (other - one).abs().max() < 0.01 * (one - one.mean(0)).abs().mean()  # of what tells patterns apart


def test_a_step_around_the_grid_changes_no_features():
    trunk = TransformInvariantAutoencoder.fresh(2, SIZE, 8, "pose-small").network.eval().trunk
    polar = torch.rand(5, 2, RADII, ANGLES, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(trunk(polar.roll(1, 3)), trunk(polar), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sharpness", SHARPNESSES)
@pytest.mark.parametrize("name", POSES)
def test_half_a_turn_has_equal_logits_and_is_never_unambiguous(name, sharpness):
    windows = random_windows()
    found = encoded(name, (windows + windows.flip(-2, -1)) / 2, sharpness)
    logits = found.logits.unflatten(1, (-1, ANGLES))
    assert logits.std() > 0.001 * sharpness  # some angles are likelier than others
    torch.testing.assert_close(logits, logits.roll(ANGLES // 2, -1), atol=1e-6 * sharpness, rtol=0)
    assert found.confidence.max() < 0.52
    torch.testing.assert_close(found.confidence[:, 0], found.confidence[:, 1], atol=0.02, rtol=0)
    assert Ambiguity.NONE not in ambiguity(found.confidence)


def test_a_network_as_sure_knows_the_angle_of_others():
    """So that the other tests say something: without the symmetry most of these angles are known."""
    judged = ambiguity(encoded("pose", random_windows(), SHARPNESSES[1]).confidence)
    assert judged.count(Ambiguity.NONE) > 30


@pytest.mark.parametrize("sharpness", SHARPNESSES)
@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize("window", [disc(8), disc(13), disc(11, 6), torch.zeros(1, 1, SIZE, SIZE)])
def test_what_is_round_or_blank_has_any_angle(name, window, sharpness):
    """A disc of pixels is exactly alike after quarter turns only: that must be enough."""
    assert ambiguity(encoded(name, window, sharpness).confidence) == [Ambiguity.ANY]


@pytest.mark.parametrize("sharpness", SHARPNESSES)
def test_a_mirrored_picture_has_the_mirrored_pose(sharpness):
    windows = random_windows()
    found, seen_from_behind = (encoded("pose-mirrored", one, sharpness) for one in (windows, windows.flip(-1)))
    dx, dy, angle, log_scale, mirrored = found.parameters.T
    wanted = torch.stack((-dx, dy, -angle, log_scale, 1 - mirrored), 1)
    torch.testing.assert_close(seen_from_behind.parameters, wanted, atol=1e-3, rtol=0)
    torch.testing.assert_close(seen_from_behind.confidence, found.confidence, atol=1e-3, rtol=0)
    assert set(mirrored.tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("sharpness", SHARPNESSES)
def test_what_is_alike_in_a_mirror_is_not_told_to_be_mirrored_or_not(sharpness):
    windows = random_windows()
    found = encoded("pose-mirrored", (windows + windows.flip(-1)) / 2, sharpness)
    plain, mirrored = found.logits.chunk(2, 1)
    torch.testing.assert_close(plain, mirrored, atol=1e-6 * sharpness, rtol=0)
    assert found.confidence[:, 0].max() < 0.52
    assert Ambiguity.NONE not in ambiguity(found.confidence)


@pytest.fixture(scope="module")
def object_model(tmp_path_factory, traced_once):
    """A model folder whose angle points at the object."""
    folder = tmp_path_factory.mktemp("poses") / "object"
    save_model(points_at_the_object(), folder)
    return folder


@pytest.fixture(scope="module")
def mirrored_model(tmp_path_factory, traced_once):
    """A model folder of an untrained network that says whether patterns are mirrored."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("poses") / "mirrored"
    save_model(TransformInvariantAutoencoder.fresh(2, SIZE, 8, "pose-mirrored").eval(), folder)
    return folder


def pointing(*degrees):
    """A round hand in the middle, and beside it in each direction the object."""
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    windows = torch.cat((disc(4), torch.zeros(1, 1, SIZE, SIZE)), 1)
    for angle in torch.deg2rad(torch.tensor(degrees, dtype=torch.float32)):
        place = torch.hypot(axis[None, :] - 9 * torch.cos(angle), axis[:, None] - 9 * torch.sin(angle))
        windows[0, 1] = torch.maximum(windows[0, 1], (2.5 - place).clamp(0, 1))
    return windows


@pytest.mark.parametrize("degrees", [0, 90, -90, 37, 143, -120])
def test_a_model_says_an_angle_that_it_is_sure_of(object_model, degrees):
    model = load_model(object_model)
    windows = pointing(degrees).numpy()
    poses, confidence = model.estimate_parameters(windows), model.angle_confidence(windows)
    assert np.degrees(poses[0, 2]) == pytest.approx(degrees, abs=8)
    assert poses[0, 3] == pytest.approx(np.log(1.25), abs=1e-3)
    assert confidence[0, 0] > 0.8
    assert ambiguity(confidence) == [Ambiguity.NONE]


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [((20, 200), Ambiguity.HALF_TURN), ((0, 90, 180, 270), Ambiguity.ANY), ((), Ambiguity.ANY)],
)
def test_a_model_says_when_it_is_not_sure(object_model, degrees, expected):
    model = load_model(object_model)
    assert ambiguity(model.angle_confidence(pointing(*degrees).numpy())) == [expected]


@pytest.mark.parametrize(("name", "columns"), [("object_model", 4), ("mirrored_model", 5)])
def test_every_door_of_a_pose_model(request, name, columns):
    folder, images = request.getfixturevalue(name), random_windows(3).numpy()
    model = load_model(folder)
    described, inferred, confidence = model.describe(images), model.infer(images), model.angle_confidence(images)
    assert described.parameters.shape == inferred.parameters.shape == (3, columns)
    for part in (described.angle_confidence, inferred.angle_confidence):
        np.testing.assert_allclose(part, confidence, atol=1e-6)
    np.testing.assert_allclose(described.parameters, model.estimate_parameters(images), atol=1e-5)
    np.testing.assert_allclose(inferred.shift, model.estimate_shift(images), atol=1e-5)
    np.testing.assert_array_equal(inferred.shift, inferred.parameters[:, :2])
    np.testing.assert_allclose(inferred.placed, model.place(images), atol=1e-5)
    compared = model.estimate_parameters(images, compare=True)
    np.testing.assert_allclose(compared[:, 2:], described.parameters[:, 2:], atol=1e-5)
    assert model.angle_confidence(images[:0]).shape == (0, 2)
    assert model.describe(images[:0]).angle_confidence.shape == (0, 2)
    tensors = model.describe(torch.from_numpy(images))
    assert isinstance(tensors.angle_confidence, torch.Tensor)
    torch.testing.assert_close(model.angle_confidence(torch.from_numpy(images)), tensors.angle_confidence)
    with torch.no_grad():
        of_torch = load_network(folder).network.encode_all(torch.from_numpy(images))
    np.testing.assert_allclose(confidence, of_torch.confidence.numpy(), atol=1e-4)


def test_a_shift_alone_has_no_confidence():
    model, images = load_model("grasp"), random_windows(2).numpy()
    with pytest.raises(ModelError, match=r"model \S+ finds no angles; train one with --transforms shift,rotation"):
        model.angle_confidence(images)
    assert model.describe(images).angle_confidence is None
    assert model.infer(images).angle_confidence is None
