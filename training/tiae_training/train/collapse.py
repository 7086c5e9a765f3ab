"""Seeing that a training has collapsed: the network restores one picture, whatever it is shown.

There are two ways there: the restored picture goes black or turns into one blurred prototype, or the training never
starts (a dead initialisation). Both show in the terms of the objective: restored pictures hardly vary, or the
restoration term is no better than that of the best single picture, which is the mean of the windows laid on each
other. A collapse rarely ends by itself; another initialisation, derived from the same seed, mostly does without.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tiae_training import objective
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.transform import Transform

LEAST_VARIATION = 0.02  # restored pictures vary less than this share of what inputs vary: one picture for all
JUDGED_STEPS = 100  # before so many steps a network has not collapsed, it has not been trained
_LASTING = 0.1  # of the epochs, in a row: plateaus end, collapses do not
_ALIGNMENTS = 3
_MOST_WINDOWS = 256


def why_collapsed(terms: dict[str, float]) -> str:
    """What says that an epoch's network restores one picture for all; "" when nothing does."""
    variation = terms["restored_variation"]
    if variation < LEAST_VARIATION:
        return f"restored pictures vary {variation:.2g} times as much as the data, less than {LEAST_VARIATION:g}"
    single = terms.get("single_picture_restoration", math.inf)
    if terms["restoration"] >= single:
        return f"the restoration term is {terms['restoration']:.3g}, no better than a single picture's {single:.3g}"
    return ""


def has_collapsed(history: list[dict[str, float]]) -> bool:
    """Whether the network ended by restoring nearly one picture for every input."""
    return bool(history) and bool(why_collapsed(history[-1]))


def is_hopeless(attempt: list[dict[str, float]], settings: TrainingSettings, steps_per_epoch: int) -> bool:
    """Whether an attempt, given by its epochs so far, is to be given up: collapsed since the warm-up, and lastingly."""
    if len(attempt) * steps_per_epoch < JUDGED_STEPS or not has_collapsed(attempt):
        return False
    if len(attempt) == settings.epochs:
        return True
    lasting = max(2, math.ceil(_LASTING * settings.epochs))
    judged = attempt[math.ceil(settings.warmup_fraction * settings.epochs) :][-lasting:]
    return len(judged) == lasting and all(why_collapsed(terms) for terms in judged)


def attempt_seed(seed: int, attempt: int) -> int:
    """What decides weights, order and transforms of an attempt; the first one's is the seed itself."""
    return seed + (attempt << 31)  # no two of seed < 2³¹ and attempt share one


@torch.no_grad()
def single_picture_restoration(transform: Transform, targets: Tensor, seed: int, *, whole: bool = False) -> float:
    """The restoration term of the best single picture for all: windows are laid on their mean, a few times over.

    targets (N, C, S, S): what is to be restored, before any transform. whole: they are restored whole, not as the
    window's edge leaves them under a transform.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(targets), generator=generator)[:_MOST_WINDOWS].to(targets.device)
    drawn = transform.draw(len(rows), generator).to(targets.device)
    moved = (transform.whole if whole else transform.move)(targets[rows], drawn)
    picture = targets[rows].mean(0, keepdim=True)
    lowest = math.inf
    for _ in range(_ALIGNMENTS):
        aligned, _ = transform.nearest(picture.expand_as(moved).contiguous(), moved)
        lowest = min(lowest, float(objective.restoration(picture.expand_as(aligned), aligned)))
        picture = aligned.mean(0, keepdim=True)
    return lowest
