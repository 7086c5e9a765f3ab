"""Small deformations of patterns, and the term that contrasts descriptors of deformed patterns."""

import math

import pytest
import torch

from tiae_ros.errors import ParameterError
from tiae_training import objective
from tiae_training.data.deformation import deform, draw_deformations
from tiae_training.train.settings import TrainingSettings


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_strength_changes_nothing():
    images = torch.rand(3, 2, 16, 16)
    torch.testing.assert_close(deform(images, draw_deformations(3, 16, 0.0, seeded())), images, atol=1e-5, rtol=0)


def test_a_seed_deforms_alike_each_window_differently():
    one, other = (draw_deformations(4, 32, 1.0, seeded(7)) for _ in range(2))
    assert torch.equal(one, other)
    assert (one[0] - one[1]).abs().max() > 0.01


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_places_move_no_farther_than_the_strength_says(strength):
    side = 32
    moved = draw_deformations(500, side, strength, seeded()) - draw_deformations(1, side, 0.0, seeded())
    far = (moved * side / 2).norm(dim=3)  # pixels
    reach = side / 2 * (math.radians(15) * strength + math.expm1(0.15 * strength) + 0.2 * strength) + 5.0 * strength
    assert far.max() < 1.5 * reach
    assert far.mean() > 0.5 * strength


def test_contrastive_by_hand():
    """Two patterns, orthogonal descriptors, each equal to its own twin: −log(e^(1/τ) / (e^(1/τ) + 1))."""
    mine = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    twins = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    expected = math.log1p(math.exp(-1 / 0.5))
    assert objective.contrastive(mine, twins, 0.5) == pytest.approx(expected)
    swapped = objective.contrastive(mine, twins.flip(0), 0.5)
    assert swapped == pytest.approx(expected + 1 / 0.5)


def test_contrastive_looks_at_directions_only():
    descriptors = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
    others = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
    scaled = objective.contrastive(3 * descriptors, others / 7, 0.1)
    torch.testing.assert_close(scaled, objective.contrastive(descriptors, others, 0.1))
    assert torch.autograd.gradcheck(lambda a, b: objective.contrastive(a, b, 0.3), (descriptors, others))


def test_an_ordinary_auto_encoder_is_trained_without_both():
    ordinary, invariant = TrainingSettings(transforms="none"), TrainingSettings(transforms="shift")
    assert (ordinary.contrastive_weight, ordinary.deformation) == (0.0, 0.0)
    assert (invariant.contrastive_weight, invariant.deformation) == (1.0, 1.0)
    assert TrainingSettings(transforms="none", deformation=0.5).deformation == 0.5


@pytest.mark.parametrize(
    "wrong", [{"deformation": -0.1}, {"contrastive_weight": math.nan}, {"contrastive_temperature": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        TrainingSettings(**wrong)
