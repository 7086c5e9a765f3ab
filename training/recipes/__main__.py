"""``python -m tiae_training.recipes NAME``: one experiment of the slides, from data to figure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tiae_ros.errors import TiaeError
from tiae_training.recipes import RECIPES
from tiae_training.recipes.recipe import Workplace, run_recipe
from tiae_training.train import choose_device, set_threads


def main(words: list[str] | None = None) -> int:
    listed = "\n".join(f"  {name:32s} {recipe.shows}" for name, recipe in RECIPES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tiae_training.recipes",
        description=f"Run one experiment: data, training, measures, NAME.png and NAME.json.\n\nrecipes:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=RECIPES, metavar="NAME")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="default: recipes_out/NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=None, help="instead of the recipe's own number")
    parser.add_argument("--windows", type=int, default=None, help="train and test on so many only (a quick look)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    options = parser.parse_args(words)
    try:
        set_threads()
        device = str(choose_device(options.device))
        out = options.out or Path("recipes_out") / options.name
        workplace = Workplace(out, options.seed, options.epochs, options.windows, device)
        figures = run_recipe(RECIPES[options.name], workplace)
    except TiaeError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    for name, value in figures.items():
        print(f"{name:36s} {value:.4f}" if isinstance(value, float) else f"{name:36s} {value}")
    print(f"picture: {out / options.name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
