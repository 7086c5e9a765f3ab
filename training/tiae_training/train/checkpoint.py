"""A training's state on disk: one safetensors file, replaced whole, from which training goes on exactly.

    RUN/checkpoint.safetensors    weights, Adam's moments and step, the weights of the best epoch where they are kept,
                                  the draws' state inside an epoch, what windows were described by where neighbours
                                  are looked for, and as metadata everything in `Progress`

An epoch draws from a generator seeded by (seed, attempt, epoch), so between epochs there is no random state to keep.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import nn

from tiae_ros.errors import OutputError, TrainingError
from tiae_ros.model.folder import CHECKPOINT, write_durably


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    settings: dict[str, Any]
    data_id: str
    data_path: str
    epoch: int  # epochs done in this attempt
    history: list[dict[str, float]]  # one entry per epoch done, those of earlier attempts first
    attempt: int = 0  # how many initialisations were given up
    collapses: list[str] = field(default_factory=list)  # why, one for each of them
    step: int = 0  # steps done in the epoch that is not done
    sums: dict[str, float] = field(default_factory=dict)  # of their terms
    scaler: dict[str, Any] = field(default_factory=dict)  # of gradients in half precision
    channels: list[str] = field(default_factory=list)  # in the network's order; empty: as in the data

    def attempt_history(self) -> list[dict[str, float]]:
        """The epochs of the attempt that is running."""
        return self.history[len(self.history) - self.epoch :]


class Clock:
    """Says when it is time for a checkpoint, so that never more than `minutes` of training are unsaved.

    It is asked between steps, and reckons with as long a wait for the next question as there ever was.
    """

    def __init__(self, minutes: float) -> None:
        self.seconds = 60.0 * minutes
        self.saved_at = self.asked_at = time.monotonic()
        self.longest_wait = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        self.longest_wait = max(self.longest_wait, now - self.asked_at)
        self.asked_at = now
        return now + self.longest_wait - self.saved_at >= self.seconds

    def saved(self) -> None:
        """What is on the disk is of the last question's time."""
        self.saved_at = self.asked_at


def save_checkpoint(
    run: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    *,
    best: dict[str, torch.Tensor] | None = None,
    draws: torch.Generator | None = None,
    memory: torch.Tensor | None = None,
) -> None:
    """Replace the run's checkpoint; a kill at any moment leaves the old one or the new one, whole.

    best: the best epoch's weights. draws: the generator of the epoch that is not done. memory: of `Neighbours`.
    """
    tensors = {f"network.{name}": _on_cpu(value) for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": _on_cpu(value) for name, value in (best or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{index}.{name}"] = _on_cpu(torch.as_tensor(value))
    if draws is not None:
        tensors["draws.state"] = draws.get_state()
    if memory is not None:
        tensors["neighbours.memory"] = _on_cpu(memory)
    content = save_tensors(tensors, metadata={"progress": json.dumps(vars(progress))})
    staged = run / (CHECKPOINT + ".new")
    try:
        write_durably(staged, content)
        os.replace(staged, run / CHECKPOINT)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {run / CHECKPOINT}: {error.strerror or error}; the last checkpoint is whole: "
            "make room and continue with --resume"
        ) from None


def _on_cpu(value: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu().contiguous()


def read_progress(run: Path) -> Progress:
    """The progress alone. Raises TrainingError when there is no readable checkpoint."""
    path = run / CHECKPOINT
    if not path.is_file():
        raise TrainingError(f"{path} does not exist, so there is nothing to resume; start without --resume")
    try:
        # "np": torch would open the file a second time, and a running training may have replaced it in between
        with safe_open(path, framework="np") as file:
            return Progress(**json.loads((file.metadata() or {})["progress"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is not a checkpoint of this release ({error}); start again with --overwrite"
        ) from None


def restore_checkpoint(
    run: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor] | None, torch.Tensor | None, torch.Tensor | None]:
    """Put weights and the optimizer's state back. Call after `read_progress` accepted the file.

    Returns the best epoch's weights, the draws' state inside an epoch and the memory of neighbours, each None where
    there is none.
    """
    kinds: dict[str, dict[str, torch.Tensor]] = {}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    with safe_open(run / CHECKPOINT, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  safe_open is no mapping
            kind, rest = name.split(".", 1)
            if kind == "optimizer":
                index, part = rest.split(".", 1)
                moments.setdefault(int(index), {})[part] = file.get_tensor(name)
            else:
                kinds.setdefault(kind, {})[rest] = file.get_tensor(name)
    try:
        network.load_state_dict(kinds["network"])
    except (KeyError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{run / CHECKPOINT} is of another network ({detail}); start again with --overwrite"
        ) from None
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
    for parameter, own in optimizer.state.items():
        for name, value in own.items():  # the fused kernel takes moments to lie in memory as their weights do
            if value.shape == parameter.shape:
                own[name] = torch.empty_like(parameter).copy_(value)
    return kinds.get("best"), kinds.get("draws", {}).get("state"), kinds.get("neighbours", {}).get("memory")
