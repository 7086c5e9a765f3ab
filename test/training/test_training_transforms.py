"""Trainings with each kind of transform, small: they run, learn, and the model speaks of what it was trained for."""

import dataclasses

import numpy as np
import pytest
import torch
from small_training import patterns, run_training, small

from tiae_ros import load_model
from tiae_ros.errors import DataError
from tiae_training.data.backgrounds import background_pool, foreground_masks
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.poses import place_by_pose


def with_others(**others):
    return dataclasses.replace(patterns(), others=others)


def test_each_list_of_kinds_has_its_default_network():
    assert TrainingSettings().network == "standard"
    assert TrainingSettings(transforms="shift,background").network == "standard"
    assert TrainingSettings(transforms="shift,rotation").network == "pose"
    assert TrainingSettings(transforms="scale", network="slide-fc").network == "slide-fc"


def test_patterns_are_restored_without_their_background(tmp_path):
    run_training(tmp_path, small(transforms="shift,background", epochs=24))
    model = load_model(tmp_path)
    noise = np.random.default_rng(9).random((60, 1, 16, 16), dtype=np.float32)
    test = patterns(60, seed=1).images
    seen = test + (1 - test) * noise
    assert ((model.place(seen) - test) ** 2).sum() < 0.2 * ((seen - test) ** 2).sum()
    assert model.manifest.transforms == {"shift": {"radius_px": 3}, "background": {"pictures": 64}}


@pytest.mark.parametrize("network", ["pose", "slide-cnn"])
def test_rotation_and_scale_are_trained_and_estimated(tmp_path, network):
    arrays = patterns()
    run_training(tmp_path, small(transforms="shift,rotation,scale,blur,gain", epochs=2, network=network))
    loaded = load_model(tmp_path)
    assert list(loaded.manifest.transforms) == ["shift", "rotation", "scale", "blur", "gain"]
    poses = loaded.estimate_parameters(arrays.images)
    assert poses.shape == (240, 4)
    assert np.array_equal(poses[:, :2], loaded.estimate_shift(arrays.images))
    compared = loaded.estimate_parameters(arrays.images[:9], compare=True)
    assert np.isfinite(compared).all()
    result = loaded.infer(arrays.images[:9])
    placed = place_by_pose(torch.from_numpy(result.restored), torch.from_numpy(poses[:9]))
    np.testing.assert_allclose(result.placed, placed, atol=1e-4)
    assert loaded.manifest.shift_radius == 3


def test_a_turned_pattern_keeps_its_descriptor(tmp_path):
    arrays = patterns()
    run_training(tmp_path, small(transforms="shift,rotation", epochs=30))
    model = load_model(tmp_path)
    corners = torch.from_numpy(arrays.images[arrays.labels == 2][:40])
    turns = torch.linspace(-1.5, 1.5, len(corners))
    turned = place_by_pose(corners, torch.stack((0 * turns, 0 * turns, turns, 0 * turns), 1))
    differences = model.estimate_parameters(turned)[:, 2] - model.estimate_parameters(corners)[:, 2]
    wrong = torch.acos(torch.cos(differences - turns).clamp(-1, 1))
    assert wrong.median() < np.radians(15)
    spread = model.encode(arrays.images).var(0).sum()
    assert (model.encode(turned) - model.encode(corners)).square().sum(1).mean() < 0.5 * spread


def test_what_lies_behind_a_mask_is_drawn_anew():
    arrays = with_others(background=np.zeros((2, 1, 20, 20), np.uint8), foreground_mask=np.ones((240, 1, 16, 16), bool))
    assert background_pool(arrays, "background", 0).shape == (2, 1, 20, 20)
    assert foreground_masks(arrays).min() == 1.0
    assert background_pool(patterns(), "background", 0).shape == (64, 1, 64, 64)  # noise
    assert background_pool(arrays, "shift", 0) is None
    assert foreground_masks(patterns()) is None


@pytest.mark.parametrize(
    "others",
    [
        {"background": np.zeros((2, 2, 16, 16), np.uint8)},
        {"background": np.zeros((2, 1, 8, 16), np.uint8)},
        {"background": np.full((2, 1, 16, 16), 2.0, np.float32)},
        {"background": np.zeros((2, 1, 16, 16), np.int32)},
        {"foreground_mask": np.zeros((240, 1, 8, 8), np.uint8)},
        {"foreground_mask": np.full((240, 1, 16, 16), np.nan, np.float32)},
    ],
)
def test_backgrounds_that_do_not_fit_are_refused(others):
    with pytest.raises(DataError, match="accepted"):
        _ = background_pool(with_others(**others), "background", 0), foreground_masks(with_others(**others))
