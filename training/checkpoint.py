"""A training's state on disk: one safetensors file, replaced whole, from which training goes on exactly.

    RUN/checkpoint.safetensors    weights, Adam's moments and step, and as metadata: settings, data id, epoch, history

No random state is kept: each epoch draws from a generator seeded by (seed, epoch). Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import nn

from tiae_ros.core.model_files import write_durably
from tiae_ros.errors import OutputError, TrainingError

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    settings: dict[str, Any]
    data_id: str
    data_path: str
    epoch: int  # epochs done
    history: list[dict[str, float]]  # one entry per epoch done


def save_checkpoint(run: Path, network: nn.Module, optimizer: torch.optim.Adam, progress: Progress) -> None:
    """Replace the run's checkpoint; a kill at any moment leaves the old one or the new one, whole."""
    tensors = {f"network.{name}": t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
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


def read_progress(run: Path) -> Progress:
    """The progress alone. Raises TrainingError when there is no readable checkpoint."""
    path = run / CHECKPOINT
    if not path.is_file():
        raise TrainingError(f"{path} does not exist, so there is nothing to resume; start without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            return Progress(**json.loads((file.metadata() or {})["progress"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is not a checkpoint of this release ({error}); start again with --overwrite"
        ) from None


def restore_checkpoint(run: Path, network: nn.Module, optimizer: torch.optim.Adam) -> None:
    """Put weights and the optimizer's state back. Call after `read_progress` accepted the file."""
    weights: dict[str, torch.Tensor] = {}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    with safe_open(run / CHECKPOINT, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  safe_open is no mapping
            kind, rest = name.split(".", 1)
            if kind == "network":
                weights[rest] = file.get_tensor(name)
            else:
                index, part = rest.split(".", 1)
                moments.setdefault(int(index), {})[part] = file.get_tensor(name)
    network.load_state_dict(weights)
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
