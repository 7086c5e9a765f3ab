"""``tiae info``: what a model is."""

from __future__ import annotations

import argparse

HELP = "say what a model is"
DESCRIPTION = "Print a model's card and files, after checking that they are whole and fit."
EXAMPLES = """  tiae info hands
  tiae info --json models/hands"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="DIR", help="a model folder, or the name of a shipped model")
    parser.add_argument("--json", action="store_true", help="the manifest as it is")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.model.folder import read_folder
    from tiae_ros.model.hand_pose import load_hand_pose
    from tiae_ros.model.manifest import AUTOENCODER, HAND_POSE
    from tiae_ros.model.shipped import find_model
    from tiae_training.card import card_text

    folder = find_model(arguments.model)
    content = read_folder(folder)
    if content.manifest.kind == AUTOENCODER:
        from tiae_ros.model.autoencoder import load_model

        load_model(folder)
    elif content.manifest.kind == HAND_POSE:
        load_hand_pose(folder)
    else:
        from tiae_ros.model.segmenter import choose_segmentation

        choose_segmentation("network", folder)
    if arguments.json:
        print(content.manifest.to_json(), end="")
        return 0
    print(card_text(content.manifest), end="")
    print()
    for name, digest in content.manifest.files.items():
        print(f"{name:22s} {len(content.files[name]) / 1e6:6.2f} MB  sha256 {digest}")
    return 0
