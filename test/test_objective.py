"""The objective's terms on numbers small enough to compute by hand."""

import pytest
import torch

from tiae_ros.errors import ParameterError
from tiae_training import objective
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.transform import Identity


def test_terms_by_hand():
    one, other = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    one[0, 0, 0, 0], other[1, 0, 1, 1] = 2.0, 1.0
    assert objective.invariance(one, other) == pytest.approx((4 + 1) / 2)  # summed over pixels, mean over images
    assert objective.restoration(one, other) == pytest.approx((4 + 1) / 2)


def test_depth_counts_on_what_the_masks_show_and_against_what_they_cover():
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


def test_without_masks_depth_counts_where_all_around_is_depth():
    target, restored = torch.zeros(1, 1, 5, 6), torch.zeros(1, 1, 5, 6)
    target[0, 0, :, :4] = 0.5  # its outline runs beside the fourth column
    restored[0, 0, :, :4] = 0.5
    restored[0, 0, 2, 1] = 0.51
    restored[0, 0, 2, 3:] = 0.9
    assert objective.surface(restored, target).item() == pytest.approx(0.01**2, rel=1e-4)


def test_overlap_is_what_union_lacks_by_shares_and_without_specks():
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


def test_sparseness_is_one_for_one_dimension_and_k_for_all_alike():
    assert objective.sparseness(torch.tensor([[0.0, -3.0, 0.0]])) == pytest.approx(1.0)
    assert objective.sparseness(torch.tensor([[2.0, -2.0, 2.0]])) == pytest.approx(3.0)
    assert torch.isfinite(objective.sparseness(torch.zeros(1, 3)))


def test_the_identity_makes_an_ordinary_auto_encoder():
    images = torch.rand(3, 1, 8, 8)
    transform = build_transform("none")
    assert isinstance(transform, Identity)
    drawn = transform.draw(3, torch.Generator(), torch.device("cpu"))
    assert torch.equal(transform.apply(images, drawn), images)
    nearest, shifts = transform.nearest(torch.rand(3, 1, 8, 8), images, images)
    assert torch.equal(nearest, images)
    assert not shifts.any()


def test_the_nearest_transformed_input_undoes_the_shift():
    pattern = torch.zeros(1, 1, 16, 16)
    pattern[0, 0, 6:9, 5:11] = 1.0
    transform = Shift(3)
    views = transform.apply(pattern, torch.tensor([[3, -2]]))
    nearest, shifts = transform.nearest(pattern, views, views)
    assert torch.equal(nearest, pattern)
    assert shifts.tolist() == [[3, -2]]


@pytest.mark.parametrize("names", ["warp", "shift,warp", "shift,none", ""])
def test_an_unknown_transform_is_refused_by_name(names):
    with pytest.raises(ParameterError, match="accepted"):
        build_transform(names)


@pytest.mark.parametrize("radius", [0, -1, 65, 2.5, True])
def test_a_shift_radius_out_of_range_is_refused(radius):
    with pytest.raises(ParameterError, match="1 to 64"):
        Shift(radius)
