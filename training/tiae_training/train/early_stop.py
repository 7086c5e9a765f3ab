"""Early stop: training ends when the objective has not become better for `patience` epochs; the best weights stay.

What counts is the objective on held-out windows (`validation_fraction`), or, without any, the training's own. The
held-out windows are seen under the same transforms after every epoch, so that epochs can be compared.

With the one-cycle rate most of the gain comes at the end, while the rate falls, and the schedule is laid out for all
`epochs`: a training that is stopped has not been through that part. So `epochs` is the most one would wait for, and a
patience of less than a quarter of it stops too early as a rule; epochs of the warm-up, in which the rate still rises,
do not count against the patience.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tiae_training.train.settings import TrainingSettings


def watched(terms: dict[str, float]) -> float:
    """The figure of an epoch that is to fall."""
    return terms.get("held_out_objective", terms["objective"])


def epochs_without_gain(attempt: list[dict[str, float]], settings: TrainingSettings) -> int:
    """Epochs since the best one, those of the warm-up left out."""
    if not attempt:
        return 0
    warmup = math.ceil(settings.warmup_fraction * settings.epochs)
    return len(attempt) - max(best_epoch(attempt), min(warmup, len(attempt)))


def best_epoch(attempt: list[dict[str, float]]) -> int:
    """The best epoch's number, from 1."""
    figures = [watched(terms) for terms in attempt]
    return figures.index(min(figures)) + 1


def is_time_to_stop(attempt: list[dict[str, float]], settings: TrainingSettings) -> bool:
    """Whether patience has run out."""
    return settings.patience > 0 and epochs_without_gain(attempt, settings) >= settings.patience


@dataclass
class BestWeights:
    """The weights of the best epoch so far; nothing is kept when there is no patience to run out."""

    wanted: bool
    weights: dict[str, Tensor] | None = None

    def keep(self, network: nn.Module, attempt: list[dict[str, float]]) -> None:
        """Remember the network's weights if the last epoch was the best."""
        if self.wanted and best_epoch(attempt) == len(attempt):
            self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def put_back(self, network: nn.Module) -> None:
        """Give the network its best weights."""
        if self.weights is not None:
            network.load_state_dict(self.weights)
