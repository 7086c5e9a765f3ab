"""Poses from moments: by hand, and that they undo what was done to a pattern."""

import math

import numpy as np
import pytest
import torch
from small_training import blob, patterns

from tiae_training.baselines import fit_baseline
from tiae_training.data.arrays import ImageArrays
from tiae_training.moments import mean_size, moment_poses, moments
from tiae_training.pose_measures import measure_poses, posed_restoration_error
from tiae_training.transforms.poses import bring_back, place_by_pose
from tiae_training.transforms.similarity import Similarity


def test_moments_by_hand():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 2], image[0, 0, 4, 5] = 1.0, 2.0  # along x, at −2 and 1 from the middle: the longer tail to the left
    found = moments(image)
    assert found.centroids.tolist() == [[0.0, 0.0]]
    assert float(found.sizes) == pytest.approx(math.sqrt((4 + 1 + 1) / 3))
    assert float(found.axes) == pytest.approx(0.0, abs=1e-6)
    assert (float(found.along), float(found.across)) == (-1.0, 1.0)
    turned = moments(image.transpose(2, 3))  # along y: from x towards y is a quarter turn
    assert abs(float(turned.axes)) == pytest.approx(math.pi / 2)
    diagonal = torch.zeros(1, 1, 9, 9)
    diagonal[0, 0, [2, 5, 5], [3, 6, 6]] = 1.0
    assert float(moments(diagonal).axes) == pytest.approx(math.pi / 4)
    assert moments(diagonal).centroids.tolist() == [[0.5, -0.5]]


def test_a_blank_window_and_a_point_keep_their_size():
    images = torch.zeros(2, 1, 8, 8)
    images[1, 0, 2, 5] = 1.0
    poses = moment_poses(moments(images), 3.0, turned=True)
    torch.testing.assert_close(poses, torch.tensor([[0.0, 0, 0, 0], [1.5, -1.5, 0, 0]]))
    assert mean_size(images) == 1.0


def test_what_was_done_to_a_pattern_is_undone():
    image = blob()
    size = mean_size(image)
    upright = bring_back(image, moment_poses(moments(image), size, turned=True))
    for angle in (0.4, 1.7, 3.0, -2.2):
        seen = place_by_pose(image, torch.tensor([[2.0, -1.5, angle, 0.2]]))
        again = bring_back(seen, moment_poses(moments(seen), size, turned=True))
        assert float((again - upright).square().sum() / upright.square().sum()) < 2e-3


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.9])
def test_mirrored_windows_are_mirrored_back(angle):
    arrays = patterns(96)
    either = Similarity(3, math.pi, 1.2)
    baseline = fit_baseline("moments-pca", arrays, descriptor_size=6, transform=either, mirrored=True)
    seen = place_by_pose(blob(16), torch.tensor([[0.0, 0.0, angle, 0.0]]))
    one, other = baseline.encode(seen), baseline.encode(seen.flip(3))
    assert np.linalg.norm(one - other) < 0.05 * np.linalg.norm(one)
    plain = fit_baseline("moments-pca", arrays, descriptor_size=6, transform=either)
    assert np.linalg.norm(plain.encode(seen) - plain.encode(seen.flip(3))) > 0.2 * np.linalg.norm(one)
    # what is restored is mirrored as the input is: placed, it lies on the input
    near, far = baseline.place(seen), baseline.place(seen.flip(3))
    assert np.square(near - far[:, :, :, ::-1]).sum() < 0.02 * np.square(near).sum()


def lopsided(count=48):
    """Blobs with one longer tail, whose second heap is more or less bright."""
    heap = blob(24)
    strengths = torch.linspace(0.1, 0.6, count)[:, None, None, None]
    second = place_by_pose(heap, torch.tensor([[3.0, 1.0, 0.6, -0.4]]))
    return ImageArrays(images=(heap + strengths * second).clamp(0.0, 1.0).numpy())


def test_it_is_measured_as_a_model_is():
    arrays = lopsided()
    either = Similarity(2, math.pi, 1.2)
    baseline = fit_baseline("moments-pca", arrays, descriptor_size=6, transform=either)
    measures = measure_poses(baseline, either, arrays, arrays, seed=0)
    assert measures["angle_error_deg"] < 2.0
    assert measures["scale_error"] < 0.02
    assert measures["restoration_error"] < 0.02
    assert measures["turned_round"] < 0.1
    little = Similarity(2, math.radians(20), 1.2)
    upright = fit_baseline("moments-pca", arrays, descriptor_size=6, transform=little)
    assert np.abs(upright.estimate_parameters(arrays.images)[:, 2]).max() == 0.0  # no turning below a quarter turn
    assert measure_poses(upright, little, arrays, arrays, seed=0)["angle_error_deg"] > 3.0


def test_posed_restoration_error_by_hand():
    search = Similarity(2, math.pi, 1.4)
    seen = blob(24)
    turned = place_by_pose(seen, torch.tensor([[1.0, -2.0, 0.5, 0.1]]))
    assert posed_restoration_error(turned, turned, search) < 1e-4
    assert posed_restoration_error(seen, turned, search) < 0.01  # a pose is forgiven, save for interpolation
    unscaled = Similarity(2, math.pi, 1.0)  # a paler pattern is nearer when it may be larger
    assert posed_restoration_error(0.5 * turned, turned, unscaled) == pytest.approx(0.25, abs=0.01)
    assert posed_restoration_error(torch.zeros_like(seen), turned, search) == pytest.approx(1.0, abs=0.05)
    with_blank = torch.cat((turned, torch.zeros_like(turned)))
    assert posed_restoration_error(torch.cat((turned, seen)), with_blank, search) < 1e-4
