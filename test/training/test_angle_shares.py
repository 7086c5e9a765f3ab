"""Shares of angles: by hand, and after another transform as its poses say."""

import math

import pytest
import torch

from tiae_training.networks.angle_shares import ANGLES, STEP, after, shares_of
from tiae_training.transforms.poses import compose


def poses(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_an_angle_is_shared_by_its_two_bins():
    shares = shares_of(poses((0, 0, 0, 0), (0, 0, 1.25 * STEP, 0), (0, 0, -0.5 * STEP, 0)))
    assert shares.shape == (3, ANGLES)
    torch.testing.assert_close(shares.sum(1), torch.ones(3))
    assert shares[0, 0] == 1
    assert (float(shares[1, 1]), float(shares[1, 2])) == pytest.approx((0.75, 0.25), abs=1e-5)
    assert (float(shares[2, ANGLES - 1]), float(shares[2, 0])) == pytest.approx((0.5, 0.5), abs=1e-5)


def test_a_mirrored_angle_counts_the_other_way():
    shares = shares_of(poses((0, 0, 3 * STEP, 0, 0), (0, 0, 3 * STEP, 0, 1)))
    assert [int(row.argmax()) for row in shares] == [3, 2 * ANGLES - 3]


@pytest.mark.parametrize("columns", [4, 5])
def test_shares_after_a_transform_are_those_of_the_composed_pose(columns):
    generator = torch.Generator().manual_seed(0)

    def drawn():  # on bins, where nothing is split
        whole = torch.zeros(64, columns)
        whole[:, 2] = STEP * torch.randint(-ANGLES // 2, ANGLES // 2, (64,), generator=generator)
        whole[:, 4:] = torch.randint(0, 2, (64, columns - 4), generator=generator).float()
        return whole

    first, second = drawn(), drawn()
    torch.testing.assert_close(after(second, shares_of(first)), shares_of(compose(second, first)), atol=2e-5, rtol=0)


def test_turning_between_bins_keeps_the_mean_angle():
    shares = after(poses((0, 0, 0.3 * STEP, 0)), shares_of(poses((0, 0, 5 * STEP, 0))))[0]
    assert float((shares * torch.arange(ANGLES)).sum()) == pytest.approx(5.3, abs=1e-5)
    assert math.isclose(float(shares.sum()), 1.0, rel_tol=1e-5)
