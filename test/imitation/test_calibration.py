"""A map of pairs: what it learns, what it leaves alone, whose it is, and its file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_hand_pose import make_hand_pose

from tiae_ros.errors import DataError, ModelError
from tiae_ros.imitation.calibration import Belongs, fit_pairs, load_map, pair_features, save_map
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.model.folder import read_manifest

pytestmark = pytest.mark.timeout(60)
JOINTS = 3


def pairs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, retargeted and measured angles: a residual that is a smooth function of two features, and noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 6))
    retargeted = rng.uniform(0, 1, (count, JOINTS))
    residual = 0.2 + 0.3 * np.stack([np.sin(features[:, 0]), features[:, 1], features[:, 0] * 0], 1)
    return features, retargeted, retargeted + residual + rng.normal(0, 0.01, residual.shape)


@pytest.fixture
def belongs(tmp_path) -> Belongs:
    names = tuple(f"joint_{n}" for n in range(JOINTS))
    manifest = read_manifest(make_hand_pose(tmp_path / "linear"))
    return dataclasses.replace(Belongs.to(manifest, load_hand("shadow")), joint_names=names)


def error_deg(fit, seed: int = 1) -> float:
    features, retargeted, measured = pairs(200, seed)
    return float(np.degrees(np.abs(retargeted + fit.map.correction(features) - measured).mean()))


def test_more_pairs_teach_more(belongs):
    errors = [error_deg(fit_pairs(*pairs(count), belongs)) for count in (5, 50, 500)]
    assert errors[0] < 13.5  # 14.4 without
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.7 * errors[1]
    fit = fit_pairs(*pairs(500), belongs)
    assert fit.after_deg == pytest.approx(errors[2], abs=0.5)
    assert fit.before_deg == pytest.approx(14.4, abs=1.5)


def test_pairs_without_anything_in_common_correct_nothing(belongs):
    features, retargeted, _ = pairs(40)
    measured = retargeted + np.random.default_rng(3).normal(0, 0.2, retargeted.shape)
    fit = fit_pairs(features, retargeted, measured, belongs)
    assert np.degrees(np.abs(fit.map.correction(features))).max() < 5
    far = np.full((1, features.shape[1]), 1e3)
    fit = fit_pairs(*pairs(100), belongs)
    np.testing.assert_allclose(fit.map.correction(far)[0], fit.map.offset)


def test_what_is_not_told_is_left_alone(belongs):
    features, retargeted, measured = pairs(60)
    measured[:, 1] = np.nan
    features[7] = np.nan
    fit = fit_pairs(features, retargeted, measured, belongs)
    assert len(fit.map.points) == 59
    np.testing.assert_array_equal(fit.map.correction(pairs(5)[0])[:, 1], 0)
    with pytest.raises(DataError, match="there are 4 pairs that can be used; accepted are 5 to 2000"):
        fit_pairs(*(values[:4] for values in pairs(60)), belongs)


def test_limits_hold():
    hand = load_hand("shadow")
    count, joints = 20, len(hand.names)
    features = pair_features(np.zeros((count, 25)), np.zeros((count, 5, 3)), np.eye(count, 96))
    retargeted = np.tile(hand.rest, (count, 1))
    own = Belongs("a", "b", hand.name, hand.side, hand.names)
    fit = fit_pairs(features, retargeted, retargeted + 5.0, own)
    corrected = fit.map.correct(hand.rest, features[0], hand)
    assert corrected.shape == (joints,)
    np.testing.assert_array_equal(corrected, hand.within_limits(hand.rest + 5.0))


def test_a_map_comes_back_from_its_file_and_belongs(belongs, tmp_path):
    hand = load_hand("shadow")
    manifest = read_manifest(tmp_path / "linear")
    fit = fit_pairs(*pairs(30), belongs)
    save_map(fit.map, tmp_path / "map.npz")
    again = load_map(tmp_path / "map.npz")
    assert again.belongs == belongs
    features = pairs(9)[0]
    np.testing.assert_allclose(again.correction(features), fit.map.correction(features), atol=1e-5)
    with pytest.raises(ModelError, match=r"for the right hand shadow of 3 joints, this is the right hand shadow of 24"):
        again.check(manifest, hand)
    of_this_hand = dataclasses.replace(again, belongs=Belongs.to(manifest, hand))
    needed = 25 + 15 + manifest.descriptor_size
    with pytest.raises(ModelError, match=f"the map reads 6 numbers of a hand, there are {needed}"):
        of_this_hand.check(manifest, hand)
    whole = dataclasses.replace(of_this_hand, mean=np.zeros(needed))
    whole.check(manifest, hand)
    with pytest.raises(ModelError, match=r"right hand shadow of .*, this is the right hand leap"):
        whole.check(manifest, load_hand("leap"))
    other = read_manifest(make_hand_pose(tmp_path / "other", slope=0.02))
    with pytest.raises(ModelError, match=r"made with the hand pose model linear .*this is other .*tiae imitate fit"):
        whole.check(other, hand)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": np.zeros((2, 2))},
        {"scale": np.zeros(6)},
        {"mean": np.full(6, np.nan)},
        {"format": np.array(2)},
        {"hand": np.array(3)},
        {"points": np.array([None])},
    ],
)
def test_other_files_are_refused(belongs, tmp_path, changes):
    path = tmp_path / "map.npz"
    save_map(fit_pairs(*pairs(30), belongs).map, path)
    with np.load(path) as arrays:
        held = dict(arrays)
    np.savez(path, **{**held, **changes})
    with pytest.raises(ModelError, match=r"map.npz .*tiae imitate fit"):
        load_map(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="is no map of pairs"):
        load_map(path)
    with pytest.raises(ModelError, match="there is no file"):
        load_map(tmp_path / "nowhere.npz")
