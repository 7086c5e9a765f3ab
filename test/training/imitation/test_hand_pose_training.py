"""Training a hand pose model: drawn hands whose joints show, into a folder and out of it; what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

import torch

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.model.folder import POSE, WEIGHTS, read_folder
from tiae_ros.model.hand_pose import check_belongs, load_hand_pose
from tiae_training.export import graph_module
from tiae_training.imitation.evaluation import auroc, spearman
from tiae_training.imitation.folder import hand_pose_manifest, save_hand_pose
from tiae_training.imitation.networks import INPUTS, HandPoseNetwork, negative_log_likelihood
from tiae_training.imitation.others import draw_others
from tiae_training.imitation.rows import FINGER_JOINTS, load_hand_rows

pytestmark = pytest.mark.timeout(600)
CHANNELS = ("hand_mask", "object_mask", "depth")


def write_windows(path: Path, count: int = 160, seed: int = 0, **changes: np.ndarray) -> Path:
    """Bars whose length is the bend of all joints, those of left hands mirrored; not all is told of all."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 3, 32, 32), np.uint8)
    bend, left = rng.random(count), rng.random(count) < 0.5
    for image, share, mirrored in zip(images, bend, left, strict=True):
        end = 26 - round(14 * share)
        image[0, 12:20, 6:end] = 255
        image[0, 20:24, 6:10] = 255  # the thumb's side
        image[1, 8:12, 8:14] = 255
        image[2] = (image[0] > 0) * 130 + (image[1] > 0) * 100
        if mirrored:
            image[:] = image[:, :, ::-1]
    content = {
        "images": images,
        "channels": np.array(CHANNELS),
        "joints": np.tile(bend[:, None].astype(np.float32), (1, len(JOINT_NAMES))),
        "joint_names": np.array(JOINT_NAMES),
        "tips_mm": (100 - 40 * bend[:, None, None] * np.ones((1, 5, 3))).astype(np.float32),
        "left_hand": left,
        "hand_size_m": np.where(rng.random(count) < 0.5, np.nan, 0.187).astype(np.float32),
        "subjects": np.arange(count) // 8,
        "labels": np.zeros(count, np.int64),
        "label_names": np.array(["fist"]),
        "metric_size_m": np.array(0.3),
        "range_m": np.array(0.3),
    }
    content["tips_mm"][::3] = np.nan
    np.savez(path, **content | changes)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A model and windows of other people."""
    folder = tmp_path_factory.mktemp("hand_pose")
    data, test = write_windows(folder / "data.npz"), write_windows(folder / "test.npz", 48, seed=1)
    words = ["--data", str(data), "--test", str(test), "--model", "hands", "--out", str(folder / "trained")]
    assert (
        main(
            [
                "train",
                "hand_pose",
                *words,
                "--epochs",
                "6",
                "--batch-size",
                "16",
                "--hidden",
                "32",
                "--turned-share",
                "0",
            ]
        )
        == 0
    )
    return folder / "trained", test


def test_what_was_trained_runs_without_torch(trained):
    folder, test = trained
    pose, autoencoder = load_hand_pose(folder), load_model("hands")
    check_belongs(pose, autoencoder)
    manifest = pose.manifest
    assert manifest.training["command"].startswith("tiae train hand_pose --data data.npz --model hands --test test.npz")
    rows = load_hand_rows([test], autoencoder.manifest)
    seen = autoencoder.describe(rows.images)
    said = pose.estimate(rows.images, seen.descriptor, seen.parameters)
    assert np.degrees(np.abs(said.joints - rows.joints)).mean() < 9  # 14 for the mean of all
    assert manifest.measures["joints_deg"] < 11  # under random shifts
    assert (said.joint_spread > 0).all()
    assert said.known.mean() > 0.8
    content = read_folder(folder)
    assert len(content.files[POSE]) < 0.8 * len(content.files[WEIGHTS])  # in 8 bits what there is in 16
    graph = graph_module(content, POSE)
    given = {"window": rows.images, "descriptor": seen.descriptor, "shift": seen.parameters}
    with torch.inference_mode():
        joints = graph(*(torch.from_numpy(given[name]) for name in pose.inputs))[0]
    np.testing.assert_allclose(joints.numpy(), said.joints, atol=1e-4)


@pytest.mark.parametrize(("sees", "size"), [("descriptor", 32), ("window", 32), ("features", 29)])
def test_other_inputs_and_sizes_are_exported_too(tmp_path, sees, size):
    network = HandPoseNetwork(sees, 3, size, 96, 8)
    of = dataclasses.replace(load_model("hands").manifest, window_size=size)
    save_hand_pose(network, tmp_path / sees, hand_pose_manifest(network, of, 0.0))
    assert load_hand_pose(tmp_path / sees).inputs == INPUTS[sees]


def test_what_is_no_hand_stands_out(trained):
    folder, test = trained
    rows = load_hand_rows([test], load_model("hands").manifest)
    others = draw_others(rows.images, CHANNELS, np.random.default_rng(5))
    assert others.shape == rows.images.shape
    assert 0 <= others.min() <= others.max() <= 1
    assert load_hand_pose(folder).manifest.measures["drawn_auroc"] > 0.9


@pytest.mark.parametrize("channels", [CHANNELS, ("a", "b", "c")])
def test_what_is_no_hand_has_the_windows_size(channels):
    windows = np.random.default_rng(0).random((40, 3, 29, 29), dtype=np.float32)
    others = draw_others(windows, channels, np.random.default_rng(1))
    assert others.shape == windows.shape
    if channels[0] == "a":  # quarters in another order: of each window all is in it, and nothing else
        assert all(np.isin(other, window).all() for other, window in zip(others, windows, strict=True))


def test_info_names_what_it_is(trained, capsys):
    assert main(["info", str(trained[0])]) == 0
    said = capsys.readouterr().out
    assert "Joint angles and fingertips of the hand in a window" in said
    assert "autoencoder = hands" in said


def test_the_loss_is_of_what_is_known():
    torch.manual_seed(0)
    network = HandPoseNetwork("descriptor", 3, 32, 6, 8)
    said = network(torch.randn(4, 6))
    joints, tips = torch.randn(4, 25), torch.randn(4, 5, 3)
    length, left, view = torch.randn(4), torch.tensor([0.0, 1.0, 1.0, 0.0]), torch.randn(4, 3)
    whole = negative_log_likelihood(said, joints, tips, length, left, view)
    joints[1, 3] = joints[2] = torch.nan
    tips[0, 2, 1], length[3], left[1] = torch.nan, torch.nan, torch.nan
    part = negative_log_likelihood(said, joints, tips, length, left, view)
    part.backward()
    assert torch.isfinite(part)
    assert part != whole
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)
    none = negative_log_likelihood(said, *(values * torch.nan for values in (joints, tips, length, left, view)))
    assert float(none.detach()) == 0


def test_measures_by_hand():
    assert auroc(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert auroc(np.array([0.0, 2.0]), np.array([1.0, 1.0])) == 0.5
    assert spearman(np.array([1.0, 2.0, 5.0]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1)
    assert len(FINGER_JOINTS) == 21


@pytest.mark.parametrize(
    ("changes", "words", "line"),
    [
        ({"joint_names": np.array([f"robot_{n}" for n in range(25)])}, [], "needed are those of a human hand"),
        ({"metric_size_m": np.array(0.2)}, [], "was cut with metric_size_m 0.2, hands with 0.3"),
        ({}, ["--sees", "all"], "accepted are features, descriptor, window"),
        ({}, ["--held-out", "nothing"], "--held-out names nothing; accepted are"),
        ({}, ["--model", "depth"], "needed are depth"),
        ({}, ["--held-out", "fist"], "needed are at least 8"),
    ],
)
def test_what_is_refused(tmp_path, capsys, changes, words, line):
    data = write_windows(tmp_path / "data.npz", 12, **changes)
    out = tmp_path / "out"
    assert main(["train", "hand_pose", "--data", str(data), "--model", "hands", "--out", str(out), *words]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
