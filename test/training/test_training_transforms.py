"""Trainings with each kind of transform, small: they run, learn, and the model speaks of what it was trained for."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_training import patterns, run_training, small

from tiae_ros import load_model
from tiae_ros.errors import DataError
from tiae_training import TransformInvariantAutoencoder
from tiae_training.data.backgrounds import background_pool, foreground_masks
from tiae_training.train.settings import TrainingSettings
from tiae_training.train.trainer import Trainer
from tiae_training.transforms.poses import bring_back, compose, invert, place_by_pose, wrap_angle
from tiae_training.transforms.similarity import Similarity


def with_others(**others):
    return dataclasses.replace(patterns(), others=others)


def test_each_list_of_kinds_has_its_default_network():
    assert TrainingSettings().network == "standard"
    assert TrainingSettings(transforms="shift,background").network == "standard"
    assert TrainingSettings(transforms="shift,rotation").network == "pose"
    assert TrainingSettings(transforms="rotation,background").network == "pose-cleared"
    assert [TrainingSettings(transforms=kinds).whole_targets for kinds in ("shift", "shift,mirror")] == [False, True]
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


def test_a_mirrored_pattern_is_found_and_keeps_its_descriptor(tmp_path):
    """Of corners alone: a bar and a ring look the same in a mirror."""
    run_training(tmp_path, small(transforms="shift,mirror", epochs=30))
    model = load_model(tmp_path)
    corners = patterns().images[2::3]
    plain, mirrored = (model.estimate_parameters(seen)[:, 4] for seen in (corners, corners[..., ::-1].copy()))
    assert (plain != mirrored).mean() > 0.9
    spread = model.encode(patterns().images).var(0).sum()
    off = np.square(model.encode(corners[..., ::-1].copy()) - model.encode(corners)).sum(1).mean()
    assert off < 0.5 * spread


def test_a_moved_pattern_is_cleared_of_what_lies_behind(tmp_path):
    model = run_training(tmp_path, small(transforms="shift,rotation,background", epochs=16))
    noise = torch.rand(60, 1, 16, 16, generator=torch.Generator().manual_seed(9))
    test = torch.from_numpy(patterns(60, seed=1).images)
    seen = test + (1 - test) * noise
    with torch.no_grad():
        cleared = model.network.eval().encode_all(seen).cleared
    assert float((cleared - test).square().sum()) < 0.3 * float((seen - test).square().sum())


def test_trust_in_estimated_poses_rises_within_the_upright_steps(tmp_path):
    settings = small(transforms="shift,rotation", epochs=10, upright_fraction=0.6)
    network = TransformInvariantAutoencoder.fresh(("figure",), 16, 8, "pose").network
    trainer = Trainer(network, torch.optim.Adam(network.parameters()), settings, patterns(), torch.device("cpu"))
    steps = 10 * trainer.steps_per_epoch

    def trust(share):
        trainer._set_progress(round(share * steps))
        return trainer.trust

    assert [trust(share) for share in (0.0, 0.3, 0.6, 1.0)] == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=0.03)
    assert trust(0.45) == pytest.approx(0.5, abs=0.05)


def test_the_pose_that_restores_best_counts_once_it_is_trusted():
    """What was restored stands upside down beside the whole window, and the regressor knows."""
    kind, corner = Similarity(3), torch.from_numpy(patterns().images[2:3])
    drawn = torch.tensor([[1.0, -2.0, 0.5, 0.1]])
    upside_down = torch.tensor([[0.0, 0.0, math.pi, 0.0]])
    restored, estimate = bring_back(corner, upside_down), compose(drawn, upside_down)
    for trust, expected, fits in ((0.0, drawn, False), (1.0, estimate, True)):
        nearest, found = kind.nearest_whole(restored, corner, drawn, estimate, trust)
        assert abs(float(wrap_angle(found[0, 2] - expected[0, 2]))) < 0.4
        assert (float((nearest - restored).square().sum() / corner.square().sum()) < 0.1) == fits


def test_a_pose_that_pushes_the_pattern_out_costs_all_of_it():
    """A pale picture, and the claim that the pattern is elsewhere, would be cheap if what is lost did not count."""
    kind, corner = Similarity(3), torch.from_numpy(patterns().images[2:3])
    elsewhere = torch.tensor([[60.0, 0.0, 0.0, 0.0]])
    _, found = kind.nearest_whole(0.3 * corner, corner, torch.zeros(1, 4), elsewhere, 1.0)
    assert found[0, :2].abs().max() < 1.0


def test_estimates_cannot_lead_a_pattern_out_of_its_window():
    """Once outside, nothing is left to be restored, and nothing leads back."""
    kind = Similarity(6, math.pi, 1.0)
    whole = torch.zeros(1, 1, 32, 32)
    whole[..., 12:20, 10:22] = 1.0
    outside = torch.tensor([[25.0, -20.0, 0.3, 0.0]])
    nearest, found = kind.nearest_whole(torch.zeros_like(whole), whole, torch.zeros(1, 4), outside, 1.0, upright=False)
    assert found[:, :2].abs().max() <= 6
    assert nearest.sum() > 0.5 * whole.sum()


@pytest.mark.parametrize(("cut_off", "wanted"), [(True, [3, -1.5]), (False, [4, -2])])
def test_patterns_of_turned_windows_are_drawn_to_the_middle_where_they_are_cut_off(cut_off, wanted):
    """Nothing else says where they are to lie, and less would be asked for where a part of them lies outside."""
    kind = Similarity(6, math.pi, 1.0, anchor=0.25)
    whole = torch.zeros(2, 1, 32, 32)
    whole[..., 12:20, slice(None) if cut_off else slice(10, 22)] = 1.0  # from border to border, or well inside
    turns = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, math.pi, 0.0]])
    aside = compose(turns, torch.tensor([[-4.0, 2.0, 0.0, 0.0]]).expand(2, 4))  # beside the middle, alike in both
    restored, estimate = bring_back(whole, aside), aside
    middles = []
    for upright in (True, False):
        _, found = kind.nearest_whole(restored, whole, torch.zeros(2, 4), estimate, 1.0, upright=upright)
        middles.append(invert(found)[:, :2].mean(0))
    np.testing.assert_allclose(middles[0], [4, -2], atol=0.2)
    np.testing.assert_allclose(middles[1], wanted, atol=0.2)


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
