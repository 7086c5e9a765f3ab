"""Run recipes over seeds, hold their medians against their targets, and keep the figures for the documentation.

    python benchmarks/recipes.py clutter --seeds 0 1 2
    python benchmarks/recipes.py clutter --seeds 2             # one seed more: joins those measured before
    python benchmarks/recipes.py clutter --seeds 0 --anew      # forgets those measured before
    python benchmarks/recipes.py clutter --seeds 2 --collect   # measured before, by `tiae recipe` or elsewhere
    python benchmarks/recipes.py --page                        # only writes the pages again

Runs `tiae recipe NAME --seed S` for each seed, prints each measure per seed with its median and whether the target
is reached, writes docs/reference/experiments/NAME.json, copies NAME.png there and renews what stands between the
markers of docs/reference/experiments.md (every recipe) and README.md (the digits). Ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tiae_training.recipes import RECIPES
from tiae_training.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "experiments.md"
FIGURES = ROOT / "docs" / "reference" / "experiments"
README = ROOT / "README.md"
_NO_MEASURES = ("seed", "windows")  # numbers that are no measures
_NO_FIGURES = ("seconds", "descriptor_size", "training_pictures")  # ends of names of what the page leaves out
_OF_RIVALS = "pca_knn_accuracy"  # ends of names of what stands beside the targets
# What the README's readers need not know by its name.
IN_PLAIN_WORDS = {
    "dispersion": "share of the descriptor that still depends on where the digit is",
    "knn_accuracy": "share of digits that their five nearest neighbours name rightly",
    "nmi": "how well ten clusters, found without labels, agree with the ten digits (0 to 1)",
    "restoration_error": "error of the restored picture, as a share of the input's energy",
    "shift_error": "error of the estimated shift, in pixels",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own number")
    parser.add_argument("--out", type=Path, default=Path("recipes_out"), help="models and pictures (recipes_out)")
    parser.add_argument(
        "--docs", type=Path, default=FIGURES, help="NAME.json and NAME.png (docs/reference/experiments)"
    )
    parser.add_argument("--anew", action="store_true", help="forget what was measured before")
    parser.add_argument("--collect", action="store_true", help="run nothing: take what is in OUT/NAME/seed-SEED")
    parser.add_argument("--page", action="store_true", help="write the pages again, also without NAME")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in RECIPES]
    if unknown or not (options.names or options.page):
        parser.error(f"unknown recipe {', '.join(unknown) or '(none)'}; accepted are {', '.join(RECIPES)}")
    missed = 0
    for name in options.names:
        file = options.docs / f"{name}.json"
        runs = {} if options.anew else read_runs(file)
        for seed in options.seeds:
            folder = options.out / name / f"seed-{seed}"
            if not options.collect:
                run_recipe(name, seed, options.epochs, folder)
            runs[str(seed)] = read_figures(folder / f"{name}.json", name, seed)
            write_runs(file, name, runs)
        first = options.out / name / f"seed-{options.seeds[0]}" / f"{name}.png"
        shutil.copyfile(first, options.docs / f"{name}.png")
        missed += report(RECIPES[name], runs)
    if options.page or options.docs == FIGURES:
        write_between(PAGE, "recipes", markdown(FIGURES))
        if (FIGURES / "digits.json").is_file():
            write_between(README, "digits", digits_table(FIGURES))
    return 1 if missed else 0


def run_recipe(name: str, seed: int, epochs: int | None, out: Path) -> None:
    """`tiae recipe NAME --seed SEED`."""
    words = ["recipe", name, "--seed", str(seed), "--out", str(out)]
    words += [] if epochs is None else ["--epochs", str(epochs)]
    command = [sys.executable, "-m", "tiae_ros.cli", *words]
    if code := subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        sys.exit(code)  # it has said why


def read_figures(file: Path, name: str, seed: int) -> dict[str, Any]:
    """What a recipe has written, of this name and seed."""
    if not file.is_file():
        sys.exit(f"{file} does not exist; run without --collect")
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if (figures["recipe"], figures["seed"]) != (name, seed):
        sys.exit(f"{file} is of {figures['recipe']} with seed {figures['seed']}; needed is {name} with seed {seed}")
    return figures


def read_runs(file: Path) -> dict[str, dict[str, Any]]:
    """Seed -> figures of what was measured before."""
    return json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else {}


def write_runs(file: Path, name: str, runs: dict[str, dict[str, Any]]) -> None:
    """NAME.json: the command, the medians over seeds, and every run."""
    runs = dict(sorted(runs.items(), key=lambda item: int(item[0])))
    command = f"python benchmarks/recipes.py {name} --seeds {' '.join(runs)}"
    epochs = {run["command"].partition("--epochs ")[2] for run in runs.values()}
    if len(epochs) > 1:
        sys.exit(f"{file} holds runs of other --epochs; run with theirs, or with --anew to forget them")
    command += f" --epochs {next(iter(epochs))}" if any(epochs) else ""
    content = {"recipe": name, "command": command, "medians": medians(runs), "runs": runs}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def medians(runs: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Of every measure that all runs have."""
    first, *others = runs.values()
    names = [
        name
        for name, value in first.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in _NO_MEASURES
    ]
    return {
        name: statistics.median(float(run[name]) for run in runs.values())
        for name in names
        if all(isinstance(run.get(name), (int, float)) for run in others)
    }


def verdict(recipe: Recipe, measure: str, median: float) -> tuple[str, str]:
    """(target, reached or MISSED) of a measure; empty without a target."""
    for target in recipe.targets:
        if target.measure == measure:
            return str(target), "reached" if target.reached(median) else "MISSED"
    return "", ""


def report(recipe: Recipe, runs: dict[str, dict[str, Any]]) -> int:
    """Print the table of one recipe; how many targets are missed."""
    found = medians(runs)
    missed = [target.measure for target in recipe.targets if target.measure not in found]
    print(f"{recipe.name}: {'measure':36s} {'target':>8s} {'median':>8s}   seeds {' '.join(runs)}")
    for name, median in found.items():
        target, word = verdict(recipe, name, median)
        missed += [name] if word == "MISSED" else []
        each = " ".join(shown(run[name]) for run in runs.values())
        print(f"{recipe.name}: {name:36s} {target:>8s} {shown(median):>8s}   {each}   {word}".rstrip())
    return len(missed)


def shown(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 or (value == int(value)) else f"{value:.3g}"


def write_between(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of this name in a Markdown file."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    page.write_text(before + begin + "\n" + text + end + after, encoding="utf-8")


def digits_table(folder: Path) -> str:
    """README's table: the digits' measures of the slides against their targets, in plain words."""
    content = json.loads((folder / "digits.json").read_text(encoding="utf-8"))
    recipe, found = RECIPES["digits"], medians(content["runs"])
    count = len(content["runs"])
    runs = "one run" if count == 1 else f"medians of {count} runs"
    lines = [
        "Real handwritten digits, moved at random by up to 8 of 32 pixels: 4,000 to train, 1,000 others to measure,",
        f"{runs} (`{content['command']}`):",
        "",
        "| what is measured | figure | wanted |",
        "|---|---|---|",
    ]
    lines += [f"| {IN_PLAIN_WORDS[t.measure]} | {shown(found[t.measure])} | {t} |" for t in recipe.targets]
    return "\n".join([*lines, ""])


def markdown(folder: Path) -> str:
    """A row per recipe: what it shows and its medians, with targets if it has some; below, the figures."""
    lines = ["| experiment | what it shows | measured |", "|---|---|---|"]
    lines += [f"| `{r.name}` | {r.shows[0].upper()}{r.shows[1:]} | {figures(r, folder)} |" for r in RECIPES.values()]
    for recipe in RECIPES.values():
        if (folder / f"{recipe.name}.png").is_file():
            lines += ["", f"![{recipe.name}: {recipe.shows}](experiments/{recipe.name}.png)"]
    return "\n".join([*lines, ""])


def figures(recipe: Recipe, folder: Path) -> str:
    """The medians of a recipe: of the measures with a target, or of all when there is none."""
    file = folder / f"{recipe.name}.json"
    if not file.is_file():
        targets = ", ".join(f"{target.measure} {target}" for target in recipe.targets)
        return f"not measured yet{f' (wanted: {targets})' if targets else ''}"
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
    found = medians(runs)
    names = [target.measure for target in recipe.targets] or [n for n in found if not n.endswith(_NO_FIGURES)]
    names += [n for n in found if n.endswith(_OF_RIVALS) and n not in names]
    said = []
    for name in names:
        target, word = verdict(recipe, name, found[name])
        said.append(f"{name} {shown(found[name])}{f' ({target}, {word})' if target else ''}")
    return f"{', '.join(said)}; {len(runs)} {'seed' if len(runs) == 1 else 'seeds'}"


if __name__ == "__main__":
    sys.exit(main())
