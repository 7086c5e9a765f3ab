"""``tiae info``: what a model is."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "say what a model is"
DESCRIPTION = "Print a model's card, after checking that its weights are whole and fit."
EXAMPLES = """  tiae info models/hands
  tiae info --json models/hands"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="DIR", help="a model folder")
    parser.add_argument("--json", action="store_true", help="the manifest as it is")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.core.model_files import load_model
    from tiae_training.card import card_text

    model = load_model(arguments.model)
    if arguments.json:
        print(model.manifest.to_json(), end="")
        return 0
    print(card_text(model.manifest), end="")
    parameters = sum(p.numel() for p in model.network.parameters())
    print(f"\n{parameters:,} parameters; weights sha256 {model.manifest.weights_sha256}")
    return 0
