"""``tiae export``: a training run, or a folder of an earlier release, -> a model folder."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a model folder from a training run, and check it"
DESCRIPTION = """Write a model folder that runs without torch (ONNX) from the trained weights of a run, and check that
both give the same, to 1e-4. `tiae train` does so at its end; this does it again, or for an auto-encoder of an earlier
release, whose weights and figures stay as they are. Graphs in 8 bits of a detector are kept."""
EXAMPLES = """  tiae export --run runs/digits --out models/digits
  tiae export --run runs/detector --out models/mine
  tiae export --run old_model --out new_model                    # an auto-encoder of release 0.1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run", dest="source", type=Path, required=True, metavar="DIR", help="a folder with trained weights"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.model.folder import MANIFEST, read_folder
    from tiae_ros.model.manifest import DETECTOR
    from tiae_ros.model.shipped import find_model
    from tiae_training.data.arrays import refuse_existing
    from tiae_training.detection.folder import load_detector, save_detector
    from tiae_training.export import save_model
    from tiae_training.legacy import is_legacy, load_legacy
    from tiae_training.model import network_of

    refuse_existing(arguments.out / MANIFEST, overwrite=arguments.overwrite)
    source = find_model(str(arguments.source))
    if is_legacy(source):
        written = save_model(load_legacy(source), arguments.out)
    else:
        content = read_folder(source)
        if content.manifest.kind == DETECTOR:
            detector, manifest = load_detector(source)
            written = save_detector(detector, arguments.out, manifest, int8=content.files, rounded=False)
        else:
            written = save_model(network_of(content), arguments.out)
    print(f"{arguments.out}: {', '.join(written.files)}; engine and torch give the same")
    return 0
