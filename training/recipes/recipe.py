"""What a recipe is, and the parts all recipes share: data, a training, a figure of windows."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tiae_ros.core.model import TransformInvariantAutoencoder
from tiae_ros.errors import OutputError
from tiae_training.arrays import ImageArrays
from tiae_training.digits import load_digits
from tiae_training.settings import TrainingSettings
from tiae_training.train import has_collapsed, prepare_run, read_history, train


@dataclass(frozen=True)
class Workplace:
    """Where a recipe writes, and how much it may spend."""

    out: Path
    seed: int = 0
    epochs: int | None = None  # instead of the recipe's own
    windows: int | None = None  # train on so many only
    device: str = "cpu"
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)

    def digits(self) -> tuple[ImageArrays, ImageArrays]:
        """(training, test) digits, fewer when asked for."""
        training, test = load_digits()
        if self.windows is not None:
            training = training.take(np.arange(min(self.windows, len(training))))
            test = test.take(np.arange(min(self.windows, len(test))))
        return training, test

    def train(self, name: str, arrays: ImageArrays, *, epochs: int, **settings: Any) -> TransformInvariantAutoencoder:
        """A model in OUT/name; its seconds, and whether it collapsed, go to the figures."""
        chosen = TrainingSettings(epochs=self.epochs or epochs, seed=self.seed, **settings)
        run = self.out / name
        prepare_run(run, resume=False, overwrite=True)
        started = time.monotonic()
        model = train(arrays, chosen, run, device=self.device)
        self.figures[f"{name}_seconds"] = round(time.monotonic() - started, 1)
        if has_collapsed(read_history(run)):
            self.figures[f"{name}_collapsed"] = True
            print(f"warning: {name} collapsed: it restores nearly one picture for every input; train longer")
        return model


@dataclass(frozen=True)
class Recipe:
    """One experiment: its name, what it shows, and the function that does it and returns its figures."""

    name: str
    shows: str
    run: Callable[[Workplace], dict[str, Any]]


def run_recipe(recipe: Recipe, workplace: Workplace) -> dict[str, Any]:
    """Run it, write NAME.json beside its picture, and return the figures."""
    try:
        workplace.out.mkdir(parents=True, exist_ok=True)
        figures = {"recipe": recipe.name, "seed": workplace.seed, **recipe.run(workplace), **workplace.figures}
        (workplace.out / f"{recipe.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write into {workplace.out}: {error.strerror or error}") from None
    return figures


def draw_rows(path: Path, rows: Sequence[tuple[str, torch.Tensor | np.ndarray]], title: str) -> None:
    """A picture with one labelled row of grey windows (N, 1, S, S) under the other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = len(rows[0][1])
    figure, all_axes = pyplot.subplots(
        len(rows), columns, figsize=(0.62 * columns + 1.8, 0.66 * len(rows) + 0.5), squeeze=False
    )
    for (name, windows), row in zip(rows, all_axes, strict=True):
        for window, axes in zip(windows, row, strict=True):
            axes.imshow(np.asarray(window)[0], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.subplots_adjust(left=1.7 / (0.62 * columns + 1.8), right=0.99, bottom=0.01, top=0.86, wspace=0.05)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
