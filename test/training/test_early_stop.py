"""Early stop by patience on held-out windows: when, with which weights, and across an interruption."""

import pytest
import torch
from small_training import SMALL, interrupt, patterns, run_training, same, small, weights

from tiae_ros.errors import DataError
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.network import build_network
from tiae_training.train.early_stop import best_epoch, epochs_without_gain, is_time_to_stop
from tiae_training.train.folder import read_history
from tiae_training.train.run import make_optimizer, train
from tiae_training.train.settings import TrainingSettings
from tiae_training.train.trainer import Trainer

PATIENT = small(epochs=9, patience=2, validation_fraction=0.2)


def attempt(*figures):
    return [{"objective": figure} for figure in figures]


def test_patience_runs_out_by_hand():
    settings = TrainingSettings(epochs=10, patience=3, warmup_fraction=0.2)
    assert best_epoch(attempt(5, 3, 4)) == 2
    assert epochs_without_gain(attempt(5, 3, 4, 4), settings) == 2
    assert not is_time_to_stop(attempt(5, 3, 4, 4), settings)
    assert is_time_to_stop(attempt(5, 3, 4, 4, 4), settings)
    assert epochs_without_gain(attempt(5, 6, 6), settings) == 1  # while the rate rises, nothing counts
    assert not is_time_to_stop([], settings)
    assert not is_time_to_stop(attempt(*range(100)), TrainingSettings(epochs=100))  # off by default
    held_out = [{"objective": 1.0, "held_out_objective": figure} for figure in (2.0, 1.0, 3.0)]
    assert best_epoch(held_out) == 2


def test_the_best_weights_are_kept_across_interruptions(tmp_path, monkeypatch):
    seen = []

    def prescribed(trainer):
        """Best in the fourth epoch."""
        seen.append({name: value.clone() for name, value in trainer.network.state_dict().items()})
        return [9.0, 8.0, 7.0, 4.0, 5.0, 6.0, 7.0][len(seen) - 1]

    monkeypatch.setattr(Trainer, "held_out_objective", prescribed)
    said = []
    model = run_training(tmp_path / "whole", PATIENT, announce=said.append)
    assert len(read_history(tmp_path / "whole")) == 6
    assert said == ["stopped early: no better objective in 2 epochs; the weights are those of epoch 4"]
    assert all(torch.equal(seen[3][name], value) for name, value in model.network.state_dict().items())
    facts = model.manifest.training
    assert (facts["epochs_done"], facts["epoch_kept"], facts["windows"]) == (6, 4, 192)

    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "cut", PATIENT, checkpoint_minutes=0, report=lambda epoch, _: interrupt(epoch == 4))
    seen.pop()  # the fifth epoch is not done: the checkpoint is of a moment inside it
    resumed = run_training(tmp_path / "cut", PATIENT, resume=True)
    assert same(weights(model), weights(resumed))


def test_watching_held_out_windows_changes_nothing():
    network = build_network(NETWORKS["standard"], 1, 16, 8)
    trainer = Trainer(network, make_optimizer(network, SMALL), SMALL, patterns(71), torch.device("cpu"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    figure = trainer.held_out_objective()
    assert figure == trainer.held_out_objective()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    trainer.run_epoch(0)
    assert trainer.held_out_objective() != figure


def test_too_few_windows_to_hold_out_are_refused(tmp_path):
    with pytest.raises(DataError, match="leaves 1 windows to learn from and holds 8 out"):
        train(patterns(9), small(validation_fraction=0.9), tmp_path)
