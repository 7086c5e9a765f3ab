"""Poses: hand-computed cases, the round trip, and agreement with shifts."""

import math

import pytest
import torch
from small_training import blob

from tiae_training.transforms.poses import bring_back, compose, compose_shift, invert, place_by_pose, wrap_angle
from tiae_training.transforms.shifts import shift_images_subpixel

CORNER = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]], dtype=torch.float32)[None, None]


def pose(dx=0.0, dy=0.0, angle=0.0, log_scale=0.0):
    return torch.tensor([[dx, dy, angle, log_scale]])


@pytest.mark.parametrize(
    ("quarter", "expected"),
    [
        (0, [[1, 2], [3, 4]]),
        (1, [[3, 1], [4, 2]]),  # from x towards y: clockwise on the screen
        (2, [[4, 3], [2, 1]]),
        (-1, [[2, 4], [1, 3]]),
    ],
)
def test_quarter_turns(quarter, expected):
    turned = place_by_pose(CORNER, pose(angle=quarter * math.pi / 2))
    torch.testing.assert_close(turned[0, 0, 1:3, 1:3], torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)


def test_the_shift_comes_after_the_turn():
    moved = place_by_pose(CORNER, pose(dx=1.0, dy=-1.0, angle=math.pi / 2))
    torch.testing.assert_close(moved[0, 0, 0:2, 2:4], torch.tensor([[3.0, 1], [4, 2]]), atol=1e-5, rtol=0)


def test_twice_as_large_covers_twice_as_much():
    square = torch.zeros(1, 1, 16, 16)
    square[..., 6:10, 6:10] = 1.0
    large = place_by_pose(square, pose(log_scale=math.log(2.0)))
    assert float(large.sum()) == pytest.approx(4 * float(square.sum()), rel=1e-3)
    assert large[0, 0, 5:11, 5:11].min() > 0.99


def test_a_pose_without_turn_is_a_shift():
    images = torch.rand(3, 2, 8, 8)
    poses = torch.tensor([[1.0, -2, 0, 0], [0.3, 0.6, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(place_by_pose(images, poses), shift_images_subpixel(images, poses[:, :2]))


def test_a_shift_before_the_pose():
    image = blob()
    one = place_by_pose(shift_images_subpixel(image, torch.tensor([[2.0, 1.0]])), pose(1.0, 0.0, 0.9, 0.1))
    other = place_by_pose(image, compose_shift(pose(1.0, 0.0, 0.9, 0.1), torch.tensor([[2, 1]])))
    assert float((one - other).square().sum() / image.square().sum()) < 1e-3


def test_gradients():
    images = torch.rand(2, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    poses = torch.tensor([[0.3, -0.2, 0.4, 0.1], [1.1, 0.5, -2.0, -0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(place_by_pose, (images, poses))
    assert torch.autograd.gradcheck(bring_back, (images, poses))


def test_angles_wrap():
    torch.testing.assert_close(
        wrap_angle(torch.tensor([3.5, -3.5])), torch.tensor([3.5, -3.5 + 4 * math.pi]) - 2 * math.pi
    )


def test_only_square_windows():
    with pytest.raises(ValueError, match="square"):
        place_by_pose(torch.zeros(1, 1, 4, 6), pose())


def test_a_mirror_comes_first():
    """Left to right, then a quarter turn from x towards y."""
    seen = place_by_pose(CORNER, torch.tensor([[0.0, 0.0, math.pi / 2, 0.0, 1.0]]))
    torch.testing.assert_close(seen[0, 0, 1:3, 1:3], torch.tensor([[4.0, 2], [3, 1]]), atol=1e-5, rtol=0)


def any_poses(columns, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(6, columns, generator=generator) - 0.5
    drawn[:, :2] *= 4.0
    drawn[:, 4:] = (drawn[:, 4:] > 0).float()
    return drawn


@pytest.mark.parametrize("columns", [4, 5])
def test_composed_and_inverted_poses_do_what_they_say(columns):
    first, second = any_poses(columns, 1), any_poses(columns, 2)
    image = blob().repeat(6, 1, 1, 1)
    torch.testing.assert_close(compose(first, invert(first)), torch.zeros_like(first), atol=1e-5, rtol=0)
    torch.testing.assert_close(place_by_pose(image, invert(first)), bring_back(image, first), atol=1e-4, rtol=0)
    one, other = place_by_pose(place_by_pose(image, first), second), place_by_pose(image, compose(second, first))
    assert float((one - other).square().sum() / other.square().sum()) < 2e-3
