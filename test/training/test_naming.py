"""Names for a trained model: how they are judged, how they are written, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tiae_ros import Autoencoder, load_model
from tiae_ros.cli import main
from tiae_ros.errors import DataError, ParameterError
from tiae_ros.model import folder as folders
from tiae_ros.model.folder import read_folder, write_folder
from tiae_ros.model.shipped import find_model
from tiae_training.data.arrays import ImageArrays
from tiae_training.naming import merge_by_name, name_model, numbered_alike
from tiae_training.prototypes import Prototypes, judge_held_out, names_of, prototypes_of, save_prototypes

SIZE = 16


def bars(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Windows (N, 1, 16, 16) uint8 of a bar so wide, of varied length and brightness."""
    rng = np.random.default_rng([seed, width])
    images = np.zeros((count, 1, SIZE, SIZE), np.uint8)
    for image in images[:, 0]:
        length = rng.integers(5, 8)
        image[8 - length : 8 + length, 8 - width : 8 + width] = rng.integers(200, 256)
    return images


def labelled(images: np.ndarray, *names: str, labels: np.ndarray | None = None) -> ImageArrays:
    chosen = np.zeros(len(images), np.int64) if labels is None else labels
    return ImageArrays(images / np.float32(255), chosen, names, data_id=f"{names}")


def write(path: Path, images: np.ndarray, name: str | None = None) -> str:
    arrays = {"images": images}
    if name is not None:
        arrays |= {"labels": np.zeros(len(images), np.int64), "label_names": np.array([name])}
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Its weights are those of chance: bars of other widths have other descriptors all the same."""
    torch = pytest.importorskip("torch", reason="models are made with torch, which is not installed")
    from tiae_training import TransformInvariantAutoencoder
    from tiae_training.export import save_model

    torch.manual_seed(0)
    fresh = TransformInvariantAutoencoder.fresh(("figure",), window_size=SIZE)
    fresh.manifest = dataclasses.replace(fresh.manifest, measures={"dispersion": 0.5}, training={"data": "bars"})
    save_model(fresh, tmp_path_factory.mktemp("models") / "bars")
    return tmp_path_factory.getbasetemp() / "models0" / "bars"


@pytest.fixture(scope="module")
def model(saved) -> Autoencoder:
    return load_model(saved)


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "run"))


def test_files_are_merged_by_name():
    cups, pens = bars(4, 1), bars(3, 3)
    mixed = labelled(np.concatenate([pens, cups]), "pen", "nothing", "cup", labels=np.array([0, 0, 0, 2, 2, 2, 2]))
    merged = merge_by_name([labelled(cups, "cup"), mixed])
    assert merged.label_names == ("cup", "pen")
    assert merged.labels.tolist() == [0] * 4 + [1] * 3 + [0] * 4
    assert len(merged) == 11


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (ImageArrays(bars(4, 1) / np.float32(255), data_id="plain.npz"), "plain.npz has no names"),
        (labelled(bars(4, 1)[:, :, :12, :12], "cup"), "12×12"),
    ],
)
def test_what_cannot_be_merged_says_why(part, said):
    with pytest.raises(DataError, match=said):
        merge_by_name([labelled(bars(4, 2), "pen"), part])


def test_a_held_out_fifth_is_a_stretch():
    """Two names on a line; the last fifth of the first one lies on the second one's place."""
    first = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 10.0, 10.1], np.float32)
    descriptors = np.concatenate([first, np.arange(20, 30) / np.float32(2)])[:, None]
    labels = np.repeat([0, 1], 10)
    judged = judge_held_out(descriptors, labels, near_share=0.8)
    np.testing.assert_allclose(judged.own[:2], [0.2, 0.1], atol=1e-3)  # the nearest outside 0.0, 0.1
    np.testing.assert_allclose(judged.own[8:10], [9.3, 9.4], atol=1e-3)
    assert judged.label[8:10].tolist() == [1, 1]
    assert judged.radius == pytest.approx(np.quantile(judged.own, 0.8))


@pytest.mark.parametrize(
    "words", [["--data", "cup", "cup"], ["--data", "cup", "twin"], ["--data", "cup", "--unknown", "twin"]]
)
def test_the_same_windows_twice_are_refused(folder, tmp_path, capsys, words):
    paths = {name: str(write(tmp_path / f"{name}.npz", bars(40, 1), name)) for name in ("cup", "twin")}
    before = (folder / "manifest.json").read_bytes()
    assert main(["name", "--model", str(folder), *(paths.get(word, word) for word in words)]) == 2
    assert "hold the same windows; give each recording once" in capsys.readouterr().err
    assert (folder / "manifest.json").read_bytes() == before


def test_a_model_calls_things_as_was_judged(model, folder):
    naming = name_model(model, merge_by_name([labelled(bars(40, 1), "cup"), labelled(bars(40, 3), "pen")]))
    save_prototypes(folder, naming.prototypes)
    named = load_model(folder)
    descriptors = named.encode(np.concatenate([bars(20, 1, seed=5), bars(20, 3, seed=6), bars(20, 6)]))
    told = names_of(descriptors, dataclasses.replace(naming.prototypes, rows=named.prototypes))
    assert told == [named.label(one) for one in descriptors]
    assert {"cup", "pen"} <= set(told)


def test_a_name_may_have_one_window():
    judged = judge_held_out(np.array([[0.0], [1.0]], np.float32), np.array([0, 1]))
    assert not np.isfinite(judged.own).any()
    assert judged.radius == 0.0


def test_many_windows_become_few_prototypes():
    descriptors = np.random.default_rng(0).normal(size=(90, 30)).astype(np.float32)
    labels = np.repeat([0, 1], [80, 10])
    named = prototypes_of(descriptors, labels, ("cup", "pen"), 1.0, per_class=16)
    assert named.names == ("cup",) * 16 + ("pen",) * 10
    np.testing.assert_array_equal(named.rows[16:], descriptors[80:].astype(np.float16))  # few stay as they are


def test_the_radius_is_of_held_out_windows(model, folder):
    """Of as many prototypes as windows each lies on one, at distance 0; other windows of the name do not."""
    save_prototypes(folder, name_model(model, labelled(bars(40, 1), "cup"), near_share=0.9).prototypes)
    named = load_model(folder)
    assert named.manifest.prototype_radius > 0
    assert np.mean([named.label(d) == "cup" for d in named.encode(bars(200, 1, seed=5))]) > 0.8


def test_names_are_right_and_the_rest_unknown(folder, tmp_path, capsys):
    cup, pen = write(tmp_path / "cup.npz", bars(40, 1), "cup"), write(tmp_path / "pen.npz", bars(40, 3), "pen")
    other = write(tmp_path / "other.npz", bars(40, 6))
    before = load_model(folder)
    assert main(["name", "--model", str(folder), "--data", cup, pen, "--unknown", other]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "knows 2 names from 80 windows" in lines[0]
    assert [line.split()[:2] for line in lines[2:4]] == [["cup", "40"], ["pen", "40"]]
    assert all(float(line.split()[2]) > 0.7 for line in lines[2:4])
    assert lines[4] == "40 windows of other things: 1.00 are called unknown"

    named = load_model(folder)
    said = {w: {named.label(d) for d in named.encode(bars(20, w, seed=9))} for w in (1, 3, 6)}
    assert said[1] <= {"cup", ""}
    assert "cup" in said[1]
    assert said[3] <= {"pen", ""}
    assert "pen" in said[3]
    assert said[6] == {""}
    assert named.manifest.measures == before.manifest.measures
    assert named.manifest.training["data"] == "bars"
    assert named.manifest.training["names"]["held_out"]["cup"]["windows"] == 40
    images = bars(3, 2)
    assert np.array_equal(named.restore(images), before.restore(images))
    card = (folder / "card.md").read_text()
    assert "cup, pen" in card
    assert "| cup | 40 |" in card
    assert "Of `other.npz" in card
    assert sorted(path.name for path in folder.iterdir()) == sorted([*named.manifest.files, "card.md", "manifest.json"])


def test_several_labelled_files_are_measured_as_one(folder, tmp_path, capsys):
    cup, pen = write(tmp_path / "cup.npz", bars(20, 1), "cup"), write(tmp_path / "pen.npz", bars(20, 3), "pen")
    words = ["--data", pen, cup, "--gallery", cup, pen, "--shift-radius", "0", "--json"]
    assert main(["evaluate", "--model", str(folder), *words]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["windows"] == 40
    assert figures["knn_accuracy"] > 0.9


def test_a_gallery_is_numbered_by_its_names():
    test = labelled(bars(2, 1), "pen", "cup", labels=np.array([0, 1]))
    gallery = labelled(bars(3, 1), "key", "cup", "pen", labels=np.array([0, 1, 2]))
    alike = numbered_alike(gallery, test)
    assert alike.labels.tolist() == [2, 1, 0]
    assert alike.label_names == ("pen", "cup", "key")
    plain = ImageArrays(gallery.images, labels=gallery.labels)
    assert numbered_alike(plain, test) is plain


def test_naming_again_replaces_the_names(folder, tmp_path):
    cup, pen = write(tmp_path / "cup.npz", bars(20, 1), "cup"), write(tmp_path / "pen.npz", bars(20, 3), "pen")
    assert main(["name", "--model", str(folder), "--data", cup]) == 0
    assert main(["name", "--model", str(folder), "--data", pen, "--near-share", "1"]) == 0
    assert set(load_model(folder).manifest.prototype_names) == {"pen"}


def test_a_copy_leaves_the_model_as_it_is(folder, tmp_path, capsys):
    cup = write(tmp_path / "cup.npz", bars(20, 1), "cup")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = ["name", "--model", str(folder), "--data", cup, "--out", str(tmp_path / "copy")]
    assert main(words) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert set(load_model(tmp_path / "copy").manifest.prototype_names) == {"cup"}
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model {model} --data {plain}", "tiae extract --label NAME"),
        ("--model {model} --data {few}", "'cup' has 9 windows; needed are at least 10"),
        ("--model {model} --data {cup} {big}", "give windows alike"),
        ("--model {model} --data {big}", "this model takes 16×16"),
        ("--model {model} --data {cup} --unknown {big}", "this model takes 16×16"),
        ("--model {model} --data {cup} --near-share 0.2", "accepted is 0.5 to 1"),
        ("--model {model} --data {cup} --near-share nan", "accepted is 0.5 to 1"),
        ("--model {model} --data {cup} {absent}", "does not exist"),
        ("--model {absent} --data {cup}", "does not exist"),
        ("--model grasp --data {cup}", "is a shipped model; give --out DIR"),
    ],
)
def test_a_refused_naming_changes_nothing(folder, tmp_path, capsys, words, said):
    names = {
        "model": folder,
        "cup": write(tmp_path / "cup.npz", bars(12, 1), "cup"),
        "few": write(tmp_path / "few.npz", bars(9, 1), "cup"),
        "plain": write(tmp_path / "plain.npz", bars(12, 1)),
        "big": write(tmp_path / "big.npz", np.ones((12, 1, 20, 20), np.uint8), "cup"),
        "absent": tmp_path / "absent",
    }
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["name", *(word.format(**names) for word in words.split())]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_share_out_of_range_is_refused(model):
    with pytest.raises(ParameterError, match="accepted is"):
        name_model(model, labelled(bars(20, 1), "cup"), near_share=0.0)


@pytest.mark.parametrize("step", [1, 4, 5, 7, 9])
def test_killed_anywhere_the_folder_holds_one_model(folder, tmp_path, step):
    """SIGKILL instead of the n-th move or write; then the same again, which must go through."""
    cup = write(tmp_path / "cup.npz", bars(20, 1), "cup")
    code = f"""
import os, signal
from tiae_ros import cli
from tiae_ros.model import folder
steps = []
def dying(function):
    def call(*arguments):
        if len(steps) == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
        steps.append(function)
        return function(*arguments)
    return call
folder.write_durably = dying(folder.write_durably)
folder.os.replace = dying(os.replace)
cli.main(["name", "--model", {str(folder)!r}, "--data", {cup!r}])
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code], timeout=100, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert set(load_model(folder).manifest.prototype_names) in (set(), {"cup"})
    assert load_model(folder).manifest.measures == {"dispersion": 0.5}
    assert main(["name", "--model", str(folder), "--data", cup]) == 0
    assert set(load_model(folder).manifest.prototype_names) == {"cup"}


def test_a_killed_save_after_a_killed_save(folder, tmp_path, monkeypatch):
    """The manifest of what was moved waits under its staged name, which the next save needs."""
    shutil.copytree(folder, tmp_path / "second")
    second = save_prototypes(tmp_path / "second", Prototypes(np.zeros((1, 30), np.float32), ("second",), 1.0))
    for name, staged in (("prototypes.npy", "prototypes.npy"), ("manifest.json", "manifest.json.new")):
        shutil.copy(tmp_path / "second" / name, folder / staged)
    assert second.prototype_names == ("second",)

    monkeypatch.setattr(folders.os, "replace", _dies_on_second(os.replace))
    with pytest.raises(SystemExit):
        write_folder(folder, second, read_folder(find_model("grasp")).files)
    monkeypatch.undo()
    assert load_model(folder).manifest.prototype_names == ("second",)


def _dies_on_second(replace):
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise SystemExit
        return replace(*arguments)

    return call
