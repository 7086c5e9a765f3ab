"""The objective's terms on numbers small enough to compute by hand."""

import math

import pytest
import torch

from tiae_training import objective
from tiae_training.networks.angle_shares import ANGLES, STEP


def test_terms_by_hand():
    one, other = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    one[0, 0, 0, 0], other[1, 0, 1, 1] = 2.0, 1.0
    assert objective.invariance(one, other) == pytest.approx((4 + 1) / 2)  # summed over pixels, mean over images
    assert objective.restoration(one, other) == pytest.approx((4 + 1) / 2)


def test_the_angle_found_is_the_one_to_choose():
    found = torch.tensor([[0.0, 0.0, 3 * STEP, 0.0]])
    sure = torch.zeros(1, ANGLES)
    assert objective.angle(sure, found) == pytest.approx(math.log(ANGLES))
    sure[0, 3] = 100.0
    assert objective.angle(sure, found) == pytest.approx(0.0, abs=1e-6)
    assert objective.angle(sure.roll(1, 1), found) == pytest.approx(100.0)


def test_two_views_agree_when_their_angles_differ_by_what_was_done():
    drawn, other = torch.tensor([[1.0, 2.0, 5 * STEP, 0.1]]), torch.tensor([[0.0, 1.0, 2 * STEP, -0.3]])
    logits = torch.full((1, ANGLES), -50.0)
    logits[0, 9] = 50.0
    assert objective.agreement(logits, logits.roll(-3, 1), drawn, other) == pytest.approx(0.0, abs=1e-4)
    assert objective.agreement(logits, logits, drawn, other) == pytest.approx(100.0, rel=1e-3)
    undecided = torch.zeros(1, ANGLES)
    assert objective.agreement(undecided, undecided, drawn, other) == pytest.approx(math.log(ANGLES))


def test_depth_counts_on_what_masks_show():
    target, restored = torch.zeros(1, 3, 1, 4), torch.zeros(1, 3, 1, 4)
    target[0, :, 0, 0] = torch.tensor([1.0, 0.0, 0.5])  # hand
    target[0, :, 0, 1] = torch.tensor([0.0, 1.0, 0.7])  # thing
    target[0, :, 0, 2] = torch.tensor([0.2, 0.1, 0.9])  # hardly anything: not asked
    restored[0, :, 0, 0] = torch.tensor([1.0, 0.0, 0.4])  # off by 0.1
    restored[0, :, 0, 1] = torch.tensor([0.0, 0.5, 0.35])  # half covered, and the right depth on that half
    restored[0, :, 0, 3] = torch.tensor([1.0, 0.0, 0.8])  # where nothing is: the masks' affair
    restored.requires_grad_(True)
    cost = objective.surface(restored, target)
    assert cost.item() == pytest.approx(2 * 0.02 * 0.1 - 0.02**2)  # beyond 0.02 no longer squared
    cost.backward()
    assert not restored.grad[:, :2].any()
    with torch.no_grad():
        restored[0, 2, 0, 0] = 0.49
    assert objective.surface(restored, target).item() == pytest.approx(0.01**2, rel=1e-4)


def test_depth_alone_counts_where_all_is_depth():
    target, restored = torch.zeros(1, 1, 5, 6), torch.zeros(1, 1, 5, 6)
    target[0, 0, :, :4] = 0.5  # its outline runs beside the fourth column
    restored[0, 0, :, :4] = 0.5
    restored[0, 0, 2, 1] = 0.51
    restored[0, 0, 2, 3:] = 0.9
    assert objective.surface(restored, target).item() == pytest.approx(0.01**2, rel=1e-4)


def test_overlap_is_what_union_lacks_by_shares():
    target, restored = torch.zeros(2, 2, 2, 4), torch.zeros(2, 2, 2, 4)
    target[0, 0] = 1.0  # eight pixels
    restored[0, 0, 0] = 1.5  # four of them, as 1
    restored[0, 0, 1] = 0.25  # four quarters: 5 of 8
    target[1, 0, 0] = 0.6  # four pixels, since they are more than half covered
    restored[1, 0, 0] = 1.0
    restored[1, 0, 1, :2] = 1.0  # two beside: 4 of 6
    target[0, 1, 0, :3] = 1.0  # a speck of three pixels, all missed
    restored.requires_grad_(True)
    cost = objective.overlap(restored, target)
    assert cost.item() == pytest.approx(((1 - 5 / 8) + (1 - 4 / 6)) / 2)
    cost.backward()
    assert (restored.grad[0, 0, 1] < 0).all()  # more of what is there would be better
    assert (restored.grad[1, 0, 1, :2] > 0).all()
    assert not restored.grad[:, 1].any()


def test_overlap_of_nothing_costs_nothing():
    assert objective.overlap(torch.rand(2, 2, 8, 8), torch.zeros(2, 2, 8, 8)) == 0


def test_sparseness_is_from_one_to_k():
    assert objective.sparseness(torch.tensor([[0.0, -3.0, 0.0]])) == pytest.approx(1.0)
    assert objective.sparseness(torch.tensor([[2.0, -2.0, 2.0]])) == pytest.approx(3.0)
    assert torch.isfinite(objective.sparseness(torch.zeros(1, 3)))
