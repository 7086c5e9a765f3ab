"""The terms of the objective as TensorBoard's event files, epoch by epoch: RUN/tensorboard/.

Each initialisation that is tried is a run of its own there. A training that is resumed adds a file; what the one before
had written beyond its checkpoint is taken back by TensorBoard itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiae_ros.errors import MissingExtraError, install_hint

FOLDER = "tensorboard"


class EventFiles:
    """Writes them. Raises MissingExtraError where the package tensorboard is absent."""

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            if error.name in ("torch", "torch.utils"):
                raise
            raise MissingExtraError(
                f"--tensorboard needs {error.name or 'tensorboard'}; install it: {install_hint('tensorboard')}"
            ) from None
        self._make = SummaryWriter
        self._folder = run / FOLDER
        self._attempt = -1
        self._writer: Any = None

    def add(self, epoch: int, terms: dict[str, float]) -> None:
        """The terms of an epoch, counted from 0 in its attempt."""
        attempt = int(terms["attempt"])
        if attempt != self._attempt:
            self.close()
            self._attempt = attempt
            folder = self._folder / f"attempt_{attempt + 1}"
            self._writer = self._make(str(folder), purge_step=epoch)
        for name, value in terms.items():
            if name != "attempt":
                self._writer.add_scalar(f"train/{name}", value, epoch)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
