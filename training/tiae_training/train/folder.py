"""The folder of a run: whose it is, and what may be in it.

RUN/
  manifest.json and its files   the model, complete or not there at all (`tiae_ros.model.folder`)
  card.md                       the same for people
  history.json                  the terms of the objective, epoch by epoch
  config.yaml                   the options of the command, to make the run again (`tiae train --config`)
  tensorboard/                  the terms as event files, when asked for
  checkpoint.safetensors        only while training is unfinished (--resume goes on from it)
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiae_ros.errors import OutputError
from tiae_ros.model.folder import CARD, CHECKPOINT, MANIFEST, WEIGHTS, write_whole

_HISTORY = "history.json"
_OF_RUNS = (MANIFEST, CARD, WEIGHTS, CHECKPOINT, _HISTORY, "config.yaml", "tensorboard")


def prepare_run(run: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder, or say why it may not be used. Raises OutputError."""
    if run.exists() and not run.is_dir():
        raise OutputError(f"{run} is a file; --out takes a folder")
    if resume:
        return
    holds = [name for name in (WEIGHTS, MANIFEST, CHECKPOINT) if (run / name).exists()]
    if holds and not overwrite:
        advice = "--resume to continue it, " if CHECKPOINT in holds else ""
        raise OutputError(
            f"{run} already holds {', '.join(holds)}; give another --out, {advice}or --overwrite to replace it"
        )
    try:
        strange = sorted(path.name for path in run.iterdir() if path.name[0] != ".") if run.is_dir() else []
        if strange and not overwrite and not set(strange) & set(_OF_RUNS):
            raise OutputError(
                f"{run} holds {strange[0]} and nothing of a training; give --out a folder of its own, or "
                "--overwrite to train into this one"
            )
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {run}: {error.strerror or error}") from None


@contextmanager
def only_one_training(run: Path) -> Iterator[None]:
    """Hold the folder for one training; a second one is refused. Released by the system if this process dies."""
    try:
        lock = open(run / ".training.lock", "w")  # noqa: SIM115  closed below
    except OSError as error:
        raise OutputError(f"cannot write into {run}: {error.strerror or error}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"another training is running in {run}; give another --out") from None
        yield
    finally:
        lock.close()
        (run / ".training.lock").unlink(missing_ok=True)


def write_history(run: Path, history: list[dict[str, float]]) -> None:
    """Replace ``history.json``, whole or not at all. Raises OutputError."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_whole(run / _HISTORY, (json.dumps(history, indent=1) + "\n").encode())
    except OSError as error:
        raise OutputError(f"cannot write into {run}: {error.strerror or error}") from None


def read_history(run: Path) -> list[dict[str, float]]:
    """``history.json`` of a finished run."""
    history: list[dict[str, float]] = json.loads((run / _HISTORY).read_text())
    return history
