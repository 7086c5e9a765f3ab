"""Channels of files and models meet by their names: whatever order a file has them in, the result is the same."""

import dataclasses
import json

import numpy as np
import pytest
from small_training import interrupt, small

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_ros.errors import DataError
from tiae_training.data.arrays import ImageArrays, join_arrays, left_out, load_arrays
from tiae_training.model import load_network
from tiae_training.naming import merge_by_name
from tiae_training.networks.config import NetworkConfig
from tiae_training.train.folder import prepare_run
from tiae_training.train.run import train

NAMES = ("hand_mask", "object_mask")


@pytest.fixture
def files(tmp_path):
    """The same blobs of a hand and a thing, in the order of the shipped model and in the other."""
    rng = np.random.default_rng(0)
    images = np.zeros((12, 2, 32, 32), np.uint8)
    for image in images:
        top, left = rng.integers(6, 14, 2)
        image[0, top : top + 12, left : left + 9] = image[1, top + 3 : top + 9, left + 8 : left + 14] = 255
    labels = {"labels": np.arange(12) % 2, "label_names": np.array(["a", "b"])}
    paths = tmp_path / "as_model.npz", tmp_path / "other.npz"
    np.savez(paths[0], images=images, channels=np.array(NAMES), **labels)
    np.savez(paths[1], images=images[:, ::-1], channels=np.array(NAMES[::-1]), **labels)
    return paths


def test_restoring_takes_channels_by_name(files, tmp_path):
    results = []
    for number, path in enumerate(files):
        out = tmp_path / f"{number}.npz"
        assert main(["restore", "--model", "grasp", "--data", str(path), "--out", str(out), "--device", "cpu"]) == 0
        with np.load(out) as stored:
            results.append(dict(stored))
    as_model, other = results
    np.testing.assert_array_equal(as_model["descriptors"], other["descriptors"])
    np.testing.assert_array_equal(as_model["shifts"], other["shifts"])
    np.testing.assert_array_equal(as_model["restored"], other["restored"][:, ::-1])  # in its file's order


def test_measuring_takes_channels_by_name(files, capsys):
    figures = []
    for data, gallery in (files, files[::-1]):
        words = ["--data", str(data), "--gallery", str(gallery), "--device", "cpu", "--json"]
        assert main(["evaluate", "--model", "grasp", *words]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0] == figures[1]


def test_other_channels_are_refused(files, tmp_path, capsys):
    np.savez(tmp_path / "heat.npz", images=np.zeros((4, 2, 32, 32), np.uint8), channels=np.array(["heat", "hand_mask"]))
    for words in (["evaluate"], ["restore", "--out", str(tmp_path / "o.npz")], ["name", "--out", str(tmp_path / "m")]):
        data = ["--data", str(tmp_path / "heat.npz")]
        assert main([words[0], "--model", "grasp", *data, *words[1:], "--device", "cpu"]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "o.npz").exists()


def test_files_are_merged_in_one_order(files):
    both = merge_by_name([load_arrays(path) for path in files])
    np.testing.assert_array_equal(both.images[:12], both.images[12:])


def is_near(run, file):
    """Whether a model trained a little goes on from the shipped one: to those windows it says nearly the same."""
    images = load_arrays(file).images
    found, wanted = (load_model(model).encode(images) for model in (run, "grasp"))
    return np.abs(found - wanted).mean() < 0.2 * np.abs(wanted).mean()


def test_what_a_start_fixes_is_taken_from_it(files, tmp_path):
    words = ["--data", str(files[1]), "--start", "grasp", "--epochs", "1", "--learning-rate", "1e-7"]
    assert main(["train", *words, "--out", str(tmp_path / "run"), "--restarts", "0", "--device", "cpu"]) in (0, 1)
    manifest, shipped = load_model(tmp_path / "run").manifest, load_model("grasp").manifest
    for name in ("channels", "descriptor_size", "preprocessing"):
        assert getattr(manifest, name) == getattr(shipped, name)
    own, other = (NetworkConfig.from_dict(one.network) for one in (manifest, shipped))  # it may name parts of later
    assert own == other
    assert is_near(tmp_path / "run", files[0])


def test_a_resumed_training_keeps_the_order_of_its_start(files, tmp_path):
    prepare_run(tmp_path / "run", resume=False, overwrite=False)
    settings = small(epochs=3, descriptor_size=96, network="standard", learning_rate=1e-7, restarts=0)
    options = {"data_path": str(files[1]), "start": load_network("grasp"), "checkpoint_minutes": 0, "report": stop}
    with pytest.raises(KeyboardInterrupt):
        train(load_arrays(files[1]), settings, tmp_path / "run", **options)
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--device", "cpu"]) in (0, 1)
    assert load_model(tmp_path / "run").manifest.channels == NAMES
    assert is_near(tmp_path / "run", files[0])


def stop(epoch, _):
    interrupt(epoch == 1)


def test_windows_that_a_start_cannot_take_are_refused(files, tmp_path, capsys):
    np.savez(tmp_path / "small.npz", images=np.full((12, 2, 16, 16), 9, np.uint8))
    for data, said in ((tmp_path / "small.npz", "16×16 pixels; the model to start from takes 32×32"),):
        assert main(["train", "--data", str(data), "--start", "grasp", "--out", str(tmp_path / "r")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("pair", "said"), [("metric_size_m=-1", "above 0"), ("gain=nan", "finite")])
def test_preprocessing_is_looked_at_before_anything_is_spent(files, tmp_path, capsys, pair, said):
    words = ["--data", str(files[0]), "--out", str(tmp_path / "r"), "--preprocessing", pair]
    assert main(["train", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_sets_are_joined(tmp_path):
    """Channels by name, clean windows where some have them, labels where all are named, in the order of names."""
    rng = np.random.default_rng(0)
    one, two = (rng.random((n, 2, 8, 8)).astype(np.float32) for n in (3, 2))
    first = ImageArrays(one, np.array([0, 1, 1]), ("cup", "pen"), clean=one / 2, channels=("a", "b"), data_id="one")
    second = ImageArrays(two, np.array([0, 0]), ("pen",), channels=("b", "a"), data_id="two")
    both = join_arrays([first, second])
    assert both.channels == ("a", "b")
    assert np.array_equal(both.images, np.concatenate([one, two[:, ::-1]]))
    assert np.array_equal(both.targets, np.concatenate([one / 2, two[:, ::-1]]))
    assert both.label_names == ("cup", "pen")
    assert both.labels is not None
    assert both.labels.tolist() == [0, 1, 1, 1, 1]
    assert both.data_id == "one, two"
    assert join_arrays([first]) is first
    assert join_arrays([first, dataclasses.replace(second, labels=None)]).labels is None


def test_sets_that_differ_are_not_joined():
    one = ImageArrays(np.zeros((2, 1, 8, 8), np.float32), channels=("a",), data_id="one")
    large = dataclasses.replace(one, images=np.zeros((2, 1, 9, 9), np.float32), data_id="large")
    near, far = (
        dataclasses.replace(one, others={"range_m": np.array(value)}, data_id=f"{value}") for value in (0.2, 0.3)
    )
    for parts, said in (((one, large), "large holds 9×9 pixels of a"), ((one, near, far), "0.3 was cut with range_m")):
        with pytest.raises(DataError, match=said):
            join_arrays(parts)
    assert join_arrays([one, near]).preprocessing == {"range_m": 0.2}


def test_what_cannot_be_joined_is_said():
    rows = {"subjects": np.arange(2), "joints": np.zeros((2, 3)), "joint_names": np.array(["a", "b", "c"])}
    one = ImageArrays(np.zeros((2, 1, 8, 8), np.float32), np.zeros(2, int), ("cup",), data_id="one", others=rows)
    alike = join_arrays([one, one])
    assert left_out([one, one], alike) == []
    assert alike.others["subjects"].tolist() == [0, 1, 0, 1]
    assert alike.others["joints"].shape == (4, 3)
    assert alike.others["joint_names"].tolist() == ["a", "b", "c"]
    other = dataclasses.replace(one, labels=None, label_names=(), data_id="other", others={"subjects": np.arange(2)})
    whole = join_arrays([one, other])
    assert left_out([one, other], whole) == [
        "labels are left out, since other has none with names",
        "joints is left out, since not all files have it for each window",
    ]


def test_backgrounds_are_joined():
    background = np.zeros((2, 1, 8, 8), np.float32)
    one = ImageArrays(np.ones((2, 1, 8, 8), np.float32), channels=("a",), others={"background": background})
    assert join_arrays([one, one]).others["background"].shape == (4, 1, 8, 8)
