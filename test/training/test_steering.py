"""Descriptors that tell how a pattern rolls: split, steered, turned; trained, small, until only two numbers change."""

import math

import numpy as np
import pytest
import torch
from small_training import patterns, run_training, small

from tiae_ros import load_model
from tiae_ros.errors import ParameterError
from tiae_training import TransformInvariantAutoencoder, objective
from tiae_training.networks.steering import TURN_LENGTH, Steering, _weighed, turned
from tiae_training.train.collapse import single_picture_restoration
from tiae_training.train.run import started_settings, take_up
from tiae_training.train.settings import TrainingSettings
from tiae_training.train.trainer import Trainer
from tiae_training.transforms.ranges import parse_kinds
from tiae_training.transforms.roll import Roll, rolled
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.shifts import shift_images


def test_it_begins_with_all_but_two_numbers_as_they_are():
    torch.manual_seed(1)
    steering, codes, features = Steering(6, 5), torch.rand(3, 6), torch.rand(3, 5)
    descriptors = steering.describe(codes, features)
    assert torch.equal(descriptors[:, :4], codes[:, :4])
    torch.testing.assert_close(descriptors[:, 4:].norm(dim=1), torch.full((3,), TURN_LENGTH))
    restored = steering.codes_of(descriptors)
    assert torch.equal(restored[:, :4], codes[:, :4])
    assert not restored[:, 4:].any()
    with pytest.raises(ValueError, match="2 numbers are too few"):
        Steering(2, 5)


def test_numbers_are_weighed_by_multiples_of_the_turn():
    angle = 0.3
    weighed = _weighed(torch.tensor([[2.0, -1.0]]), torch.tensor([[math.cos(angle), math.sin(angle)]]))
    shares = [1.0, *(part(k * angle) for k in (1, 2, 3, 4) for part in (math.cos, math.sin))]
    assert weighed[0].tolist() == pytest.approx([share * number for share in shares for number in (2.0, -1.0)])


def test_the_turn_alone_is_turned():
    descriptor = torch.tensor([[5.0, 7.0, TURN_LENGTH, 0.0]])
    quarter = turned(descriptor, torch.tensor([math.pi / 2]))
    assert quarter[0].tolist() == pytest.approx([5.0, 7.0, 0.0, TURN_LENGTH], abs=1e-6)
    torch.testing.assert_close(turned(quarter, torch.tensor([-math.pi / 2])), descriptor)


def test_two_views_agree_when_their_turns_differ_by_what_was_done():
    one = torch.tensor([[1.0, TURN_LENGTH, 0.0]])
    quarter = torch.tensor([[9.0, 0.0, TURN_LENGTH]])
    none, right = torch.zeros(1), torch.tensor([math.pi / 2])
    assert objective.turn_agreement(one, quarter, none, right) == pytest.approx(0.0, abs=1e-6)
    assert objective.turn_agreement(one, quarter, none, none) == pytest.approx(2.0)
    assert objective.turn_agreement(one, quarter, right, none) == pytest.approx(4.0)


def test_rolled_windows_keep_right_angles_and_the_unturned():
    images = torch.rand(3, 2, 8, 8)
    seen = rolled(images, torch.tensor([0.0, math.pi / 2, 0.3]))
    assert torch.equal(seen[0], images[0])
    torch.testing.assert_close(seen[1], images[1].rot90(-1, (1, 2)), atol=1e-4, rtol=0)  # clockwise on the screen
    assert float(seen[2].min()) >= 0.0
    assert float(seen[2].max()) <= 1.0


def test_one_of_two_views_is_not_turned(monkeypatch):
    """Turning blurs, and cuts off what lies in the corners."""
    drawn = Roll(3, 0.5).draw(200, torch.Generator().manual_seed(1))
    assert 0.4 < drawn[:, 2].abs().max() <= 0.5
    assert drawn[:, :2].abs().max() == 3
    network = TransformInvariantAutoencoder.fresh(("figure",), 16, 8, "steerable").network
    settings = small(transforms="shift,roll", network="steerable")
    trainer = Trainer(network, torch.optim.Adam(network.parameters()), settings, patterns(), torch.device("cpu"))
    asked = []
    monkeypatch.setattr(Roll, "whole", lambda _, images, parameters: asked.append(parameters) or images)
    terms = trainer.terms(torch.arange(10), torch.Generator().manual_seed(1))
    assert all(bool(value.isfinite()) for value in terms.values())
    (rolls,) = (parameters[:, 2] for parameters in asked)
    assert not rolls[:10].any()
    assert rolls[10:].all()


@pytest.mark.parametrize("kinds", ["roll", "shift,roll", "shift,roll,background,clutter,blur,gain"])
@pytest.mark.parametrize("whole", [True, False])
def test_it_is_trained_beside_other_kinds(kinds, whole):
    network = TransformInvariantAutoencoder.fresh(("figure",), 16, 8, "steerable").network
    settings = small(transforms=kinds, whole_targets=whole, network="steerable", precision="bfloat16")
    trainer = Trainer(network, torch.optim.Adam(network.parameters()), settings, patterns(), torch.device("cpu"))
    terms = trainer.step(torch.arange(10), torch.Generator().manual_seed(1))
    assert 0.0 < terms["agreement"].item() < 4.0
    assert all(bool(value.isfinite()) for value in terms.values())
    assert np.isfinite(trainer.held_out_objective())


def test_a_single_picture_is_held_against_turned_windows():
    """Else a training would be called collapsed that restores more than one: all corners are one picture, unturned."""
    corners = torch.from_numpy(patterns().images[2::3])
    whole = single_picture_restoration(Roll(3), corners, 0, whole=True)
    assert whole > 1.5 * single_picture_restoration(Shift(3), corners, 0, whole=True)


def test_a_window_is_restored_as_it_is_turned():
    """So its shift alone is searched for, against the whole window."""
    whole = torch.zeros(2, 1, 32, 32)
    whole[..., 14:18, 6:26] = 1.0
    drawn = torch.tensor([[2.0, -1.0, 0.0], [-3.0, 4.0, math.pi / 2]])
    restored = shift_images(rolled(whole, drawn[:, 2]), torch.tensor([[3, 1], [0, -2]]))
    nearest, found = Roll(4).nearest_whole(restored, whole, drawn, torch.zeros(2, 2), 1.0)
    torch.testing.assert_close(nearest, restored, atol=1e-4, rtol=0)
    assert found.tolist() == [[2 - 3, -1 - 1], [-3, 4 + 2]]


@pytest.mark.parametrize("angle", [0.0, 4.0, math.nan])
def test_a_roll_without_a_range_is_refused(angle):
    with pytest.raises(ParameterError, match="accepted is above 0, to 180"):
        Roll(3, angle)


def test_what_cannot_tell_a_roll_is_refused():
    with pytest.raises(ParameterError, match="cannot be combined; accepted is roll"):
        parse_kinds("shift,roll,scale")
    with pytest.raises(ParameterError, match="pose cannot tell how a pattern rolls; accepted for roll are steerable-m"):
        TrainingSettings(transforms="shift,roll", network="pose")
    with pytest.raises(
        ParameterError, match="steerable tells how patterns roll, and transforms are shift; accepted is"
    ):
        TrainingSettings(network="steerable")
    with pytest.raises(ParameterError, match="descriptor_size is 2; accepted with steerable is 3"):
        TrainingSettings(transforms="shift,roll", descriptor_size=2)
    settings = TrainingSettings(transforms="shift,roll")
    assert (settings.network, settings.whole_targets) == ("steerable", True)


def test_what_steers_goes_on_from_what_does_not():
    start = TransformInvariantAutoencoder.fresh(("figure",), 16, 8, "standard")
    settings = started_settings({"network": "steerable", "transforms": "shift,roll"}, start)
    assert settings.descriptor_size == 8
    model = TransformInvariantAutoencoder.fresh(("figure",), 16, 8, "steerable")
    assert take_up(model, start) == "descriptor"
    windows = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(windows)[:, :6], start.encode(windows)[:, :6])
    with pytest.raises(ParameterError, match="finds how patterns roll, and transforms are shift; accepted is a l"):
        started_settings({"network": "steerable"}, start)
    slide = TransformInvariantAutoencoder.fresh(("figure",), 32, 8, "slide-cnn")
    with pytest.raises(ParameterError, match=r"has slide-cnn; leave it out$"):
        started_settings({"network": "steerable", "transforms": "shift,roll"}, slide)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steerable")
    run_training(folder, small(transforms="shift,roll", epochs=40))
    return load_model(folder)


def test_two_numbers_of_a_turned_patterns_descriptor_change(trained):
    corners = torch.from_numpy(patterns().images[2::3][:40])
    turns = torch.linspace(-2.5, 2.5, len(corners))
    plain, seen = (np.asarray(trained.encode(some)) for some in (corners, rolled(corners, turns)))
    told = [np.arctan2(one[:, -1], one[:, -2]) for one in (seen, plain)]
    wrong = np.abs(np.angle(np.exp(1j * (told[0] - told[1] - turns.numpy()))))
    assert np.median(wrong) < np.radians(15)
    spread = np.asarray(trained.encode(patterns().images))[:, :-2].var(0).sum()
    assert np.square(seen - plain)[:, :-2].sum(1).mean() < 0.5 * spread
    assert trained.manifest.transforms == {"shift": {"radius_px": 3}, "roll": {"degrees": 180.0}}


def test_it_is_restored_as_it_is_turned(trained):
    """By the doors of every model: what is decoded lies on the input by a shift alone."""
    corners = torch.from_numpy(patterns().images[2::3][:40])
    seen = rolled(corners, torch.linspace(-2.5, 2.5, len(corners)))
    result = trained.infer(seen)
    torch.testing.assert_close(result.restored, trained.decode(result.descriptor))
    assert float((result.placed - seen).square().sum()) < 0.5 * float(seen.square().sum())
    straight = turned(result.descriptor, torch.linspace(2.5, -2.5, len(corners)))
    off = (trained.decode(straight) - trained.restore(corners)).square().sum()
    assert float(off) < 0.5 * float(corners.square().sum())
