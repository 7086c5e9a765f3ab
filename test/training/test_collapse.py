"""A collapse is seen during training, another initialisation is tried, and what cannot be helped is said."""

import json

import numpy as np
import pytest
import torch
from small_training import patterns, run_training, same, small, weights

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_training import model as models
from tiae_training.data.arrays import save_arrays
from tiae_training.train import collapse, run
from tiae_training.train.checkpoint import read_progress
from tiae_training.train.collapse import (
    attempt_seed,
    has_collapsed,
    is_hopeless,
    single_picture_restoration,
    why_collapsed,
)
from tiae_training.train.folder import read_history
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.transform import Identity

# Nothing but invariance counts: one picture for all is the best there is.
DOOMED = small(invariance_weight=1e6, epochs=4)


def terms(variation=0.5, restoration=1.0):
    return {"restored_variation": variation, "restoration": restoration, "single_picture_restoration": 5.0}


def test_one_picture_for_all_is_told():
    assert why_collapsed(terms()) == ""
    assert "vary 0.01 times as much" in why_collapsed(terms(variation=0.01))
    assert "no better than a single picture's 5" in why_collapsed(terms(restoration=5.0))


def test_only_a_lasting_collapse_is_hopeless():
    settings = TrainingSettings(epochs=40)  # warm-up 8 epochs, lasting 4
    bad, good = terms(variation=0.0), terms()
    assert not is_hopeless([bad] * 11, settings, steps_per_epoch=30)
    assert is_hopeless([bad] * 12, settings, steps_per_epoch=30)
    assert not is_hopeless([bad] * 12, settings, steps_per_epoch=8)  # 96 steps: not trained yet
    assert not is_hopeless([*[bad] * 10, good, bad], settings, steps_per_epoch=30)  # it has broken through once
    assert is_hopeless([*[good] * 39, bad], settings, steps_per_epoch=30)  # there is no epoch left to recover in


def test_the_best_picture_of_shifted_copies():
    images = torch.from_numpy(patterns(3).images[:1]).repeat(40, 1, 1, 1)
    assert single_picture_restoration(Shift(3), images, seed=0) < 1e-6
    two = torch.cat((images, torch.zeros_like(images)))
    energy = float(images[0].square().sum())
    assert single_picture_restoration(Identity(), two, seed=0) == pytest.approx(energy / 4)  # half of it, both ways


def test_whole_windows_do_not_count_what_edges_take():
    images = torch.from_numpy(patterns(3).images[:1]).repeat(40, 1, 1, 1)
    assert single_picture_restoration(Shift(12), images, seed=0, whole=True) < 1e-6
    assert single_picture_restoration(Shift(12), images, seed=0) > 0.1


def test_attempts_have_seeds_of_their_own():
    seeds = {attempt_seed(seed, attempt) for seed in (0, 1, 2**31 - 1) for attempt in range(3)}
    assert len(seeds) == 9
    assert attempt_seed(7, 0) == 7


def test_a_collapse_is_tried_again_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(collapse, "JUDGED_STEPS", 14)
    said = []
    model = run_training(tmp_path / "whole", DOOMED, announce=said.append)
    history = read_history(tmp_path / "whole")
    assert [line.split(":")[0] for line in said] == ["attempt 1 collapsed by epoch 3", "attempt 2 collapsed by epoch 3"]
    assert [entry["attempt"] for entry in history] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert has_collapsed(history)
    assert len(model.manifest.training["collapsed_attempts"]) == 2
    assert "restored pictures vary" in model.manifest.training["collapsed"]
    assert "**This model has collapsed" in (tmp_path / "whole" / "card.md").read_text()
    assert load_model(tmp_path / "whole").manifest.training["epochs_done"] == 4

    epochs = []

    def stop(epoch, entry):
        epochs.append(epoch)
        if len(epochs) == 5:  # in the second attempt
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "cut", DOOMED, checkpoint_minutes=0, report=stop)
    progress = read_progress(tmp_path / "cut")
    assert (progress.attempt, progress.epoch) == (1, 1)
    settings, _ = run.resumed_settings(tmp_path / "cut", {})
    resumed = run_training(tmp_path / "cut", settings, resume=True)
    assert same(weights(model), weights(resumed))
    assert read_history(tmp_path / "cut") == history


def test_another_initialisation_saves_a_dead_start(tmp_path, monkeypatch):
    """All weights 0 at first: no gradient reaches them. Only the second attempt can learn."""
    monkeypatch.setattr(collapse, "JUDGED_STEPS", 14)
    made, build = [], models.build_network

    def dead_first(*arguments):
        network = build(*arguments)
        made.append(network)
        if len(made) == 1:
            for parameter in network.parameters():
                torch.nn.init.zeros_(parameter)
        return network

    monkeypatch.setattr(models, "build_network", dead_first)
    model = run_training(tmp_path / "run", small(epochs=10, contrastive_weight=0.0))
    assert len(model.manifest.training["collapsed_attempts"]) == 1
    assert model.manifest.training["collapsed"] == ""
    assert np.abs(weights(model)["network.head.weight"]).max() > 0
    assert read_history(tmp_path / "run")[-1]["attempt"] == 1


def test_a_collapsed_end_exits_with_1(tmp_path, monkeypatch, capsys):
    """By a reference network: the default one begins by restoring the window itself, which no few steps undo."""
    monkeypatch.setattr(collapse, "JUDGED_STEPS", 2)
    save_arrays(tmp_path / "data.npz", {"images": patterns(64).images})
    words = f"--data {tmp_path}/data.npz --out {tmp_path}/run --shift-radius 3 --epochs 2 --batch-size 32".split()
    assert main(["train", *words, "--network", "slide-fc", "--invariance-weight", "1e6", "--restarts", "1"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert any("attempt 1 collapsed by epoch 2" in line for line in lines)
    assert "the model collapsed" in lines[-1]
    assert "2 initialisations tried" in lines[-1]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["training"]["collapsed"]
