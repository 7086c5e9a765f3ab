"""A window's nearest other ones, by hand, and in a training that is cut off; two processes: `test_distributed`."""

import dataclasses

import pytest
import torch
from small_training import interrupt, patterns, run_training, same, small, weights

from tiae_ros.errors import ParameterError
from tiae_training.data.deformation import deform, draw_deformations
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.network import build_network
from tiae_training.train import neighbours
from tiae_training.train.neighbours import Neighbours, share_at
from tiae_training.train.run import make_optimizer
from tiae_training.train.trainer import Trainer

CPU = torch.device("cpu")


def test_near_is_another_window_however_long_descriptors_are(monkeypatch):
    monkeypatch.setattr(neighbours, "CANDIDATES", 1)
    memory = Neighbours(4, 2, CPU)
    memory.remember(torch.tensor([0, 1, 2]), torch.tensor([[1.0, 0.0], [9.0, 1.0], [0.0, 5.0]]))
    found = memory.near(torch.tensor([0, 2]), torch.tensor([[3.0, 0.0], [0.1, 0.4]]), torch.Generator())
    near_both = torch.tensor([9.0, 1.0]) / 82**0.5  # window 1; window 3 was not seen, and a window is not its own
    torch.testing.assert_close(found, torch.stack([near_both, near_both]))


def test_one_of_the_nearest_is_taken_by_chance():
    memory = Neighbours(60, 2, CPU)
    angles = torch.arange(60) * 0.02
    directions = torch.stack((angles.cos(), angles.sin()), 1)
    memory.remember(torch.arange(60), directions)
    generator = torch.Generator().manual_seed(0)
    rows = torch.full((200,), 30)
    found = memory.near(rows, directions[rows], generator)
    taken = {int((directions - one).norm(dim=1).argmin()) for one in found}
    assert taken <= {28, 29, 31, 32}
    assert len(taken) == neighbours.CANDIDATES


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.0), (0.3, 0.0), (0.4, 0.35), (0.5, 0.7), (1.0, 0.7)])
def test_neighbours_count_later(done, share):
    assert share_at(done, 0.7) == pytest.approx(share)


def test_neighbours_change_what_is_learned_and_an_interrupted_training_goes_on(tmp_path):
    """It is cut off when neighbours count, so the memory has to be on the disk."""
    settings = small(neighbour_share=0.7)
    whole = weights(run_training(tmp_path / "whole", settings))
    assert not same(whole, weights(run_training(tmp_path / "without", small())))
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "cut", settings, checkpoint_minutes=0, report=lambda epoch, _: interrupt(epoch == 3))
    assert same(whole, weights(run_training(tmp_path / "cut", settings, resume=True)))


def test_what_is_near_comes_nearer():
    """The cosine to the five nearest other windows, of patterns that differ by degrees."""
    kinds = patterns()
    deformations = draw_deformations(len(kinds), 16, 3.0, torch.Generator().manual_seed(1))
    windows = dataclasses.replace(kinds, images=deform(torch.from_numpy(kinds.images), deformations).numpy())

    def cosine(share):
        settings = small(neighbour_share=share, epochs=16, contrastive_temperature=0.3, contrastive_weight=3.0)
        torch.manual_seed(0)
        network = build_network(NETWORKS["standard"], 1, 16, 8)
        trainer = Trainer(network, make_optimizer(network, settings), settings, windows, CPU)
        for epoch in range(settings.epochs):
            trainer.run_epoch(epoch)
        with torch.no_grad():
            found = network.eval().encode_all(torch.from_numpy(windows.images)).descriptors
        found = torch.nn.functional.normalize(found, dim=1)
        return float((found @ found.T).fill_diagonal_(-2.0).topk(5, 1).values.mean())

    assert cosine(0.8) > cosine(0.0) + 0.01  # .91 for .88


def test_neighbours_are_looked_up_some_at_a_time(monkeypatch):
    memory = Neighbours(50, 4, CPU)
    directions = torch.randn(50, 4, generator=torch.Generator().manual_seed(3))
    memory.remember(torch.arange(50), directions)
    rows = torch.arange(0, 50, 2)
    whole = memory.near(rows, directions[rows], torch.Generator().manual_seed(0))
    monkeypatch.setattr(neighbours, "_AT_ONCE", 350)  # seven rows
    assert torch.equal(whole, memory.near(rows, directions[rows], torch.Generator().manual_seed(0)))


def test_windows_that_judge_a_training_have_no_neighbours():
    settings = small(neighbour_share=0.7)
    network = build_network(NETWORKS["standard"], 1, 16, 8)
    judge = Trainer(network, make_optimizer(network, settings), settings, patterns(), CPU, with_neighbours=False)
    assert judge.neighbours is None
    assert judge.held_out_objective() > 0.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neighbour_share": 1.5}, r"neighbour_share is 1\.5; accepted is 0 to 1"),
        ({"neighbour_share": 0.7, "contrastive_weight": 0.0}, "contrastive_weight is 0, so there is no term to share"),
        ({"neighbour_share": 0.7, "patience": 5}, "patience is 5, but neighbours change the objective"),
    ],
)
def test_what_cannot_be_is_refused(changes, said):
    with pytest.raises(ParameterError, match=said):
        small(**changes)
