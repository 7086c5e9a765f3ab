"""Do the shipped models say through this code what they said before? Every measure of their cards, and the differences.

    tiae simulate --out 'DIR/test_{channels}.npz' --channels masks both depth --count 2000 --seed 2 --subjects 1000:1200
    tiae simulate --out 'DIR/gallery_{channels}.npz' --channels masks both depth --count 4000 --seed 1 --subjects 0:1000
    tiae simulate --out DIR/held_any.npz --channels frames --count 1000 --seed 901 --subjects 1000:1200
    python benchmarks/models_agree.py --data DIR
    python benchmarks/models_agree.py --data DIR --against /old/.venv/bin/python /old/models

Auto-encoders are measured by `tiae evaluate`, in either Python; knn_accuracy depends on the gallery, which is another
than the card's. Segmentations: intersection over union of all cells of held_any.npz, in float32 and in 8 bits, with
colour and by depth alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tiae_ros.model.folder import read_manifest
from tiae_ros.model.manifest import SEGMENTATION
from tiae_training.segmentation.folder import measures_of
from tiae_training.segmentation.frames import load_frames

MODELS = Path(__file__).resolve().parents[1] / "models"
KINDS = {1: "depth", 2: "masks", 3: "both"}  # channels -> name of the data
SEGMENTATION_BEFORE = """
import json, pathlib, sys, torch
from tiae_ros.vision.segmentation_network import load_network
from tiae_training.segmentation import evaluate, load_frames
torch.set_num_threads(1)
network, frames = load_network(sys.argv[1]), load_frames([pathlib.Path(sys.argv[2])])
parts = {suffix: evaluate(network, frames, colour=not suffix) for suffix in ("", "_depth_only")}
print(json.dumps({name + suffix: value for suffix, part in parts.items() for name, value in part.items()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="files as above")
    parser.add_argument("--models", type=Path, default=MODELS, metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these models (default: all)")
    parser.add_argument("--against", nargs=2, metavar=("PYTHON", "OLD_MODELS"), help="release 0.1 and its models")
    parser.add_argument("--seed", type=int, default=0, help="of the random shifts")
    options = parser.parse_args()
    python, old_models = options.against or ("", "")
    print(f"{'model':14s}{'measure':26s}{'card':>10s}{'before':>10s}{'now':>10s}{'difference':>12s}")
    for folder in sorted(path.parent for path in options.models.glob("*/manifest.json")):
        if options.only and folder.name not in options.only:
            continue
        manifest = read_manifest(folder)
        old, frames = Path(old_models).absolute() / folder.name, options.data / "held_any.npz"
        before: dict[str, float] = {}
        if manifest.kind == SEGMENTATION:
            now = measures_of(folder, load_frames([frames]))
            if python:
                before = told(python, "-c", SEGMENTATION_BEFORE, old, frames.absolute())
        else:
            words = evaluation(options.data.absolute(), KINDS[len(manifest.channels)], options.seed)
            now = told(sys.executable, *words, "--model", folder.absolute())
            if python:
                before = told(python, *words, "--model", old)
        for name, value in now.items():
            cells = [f"{part[name]:10.4f}" if name in part else f"{'–':>10s}" for part in (manifest.measures, before)]
            apart = f"{value - before[name]:+12.5f}" if name in before else ""
            print(f"{folder.name:14s}{name:26s}{''.join(cells)}{value:10.4f}{apart}", flush=True)


def evaluation(data: Path, kind: str, seed: int) -> list[str]:
    """The words of `tiae evaluate`, but for the model."""
    files = ["--data", f"{data}/test_{kind}.npz", "--gallery", f"{data}/gallery_{kind}.npz"]
    return ["-m", "tiae_ros.cli", "evaluate", "--json", "--device", "cpu", "--seed", str(seed), *files]


def told(python: str, *words: object) -> dict[str, float]:
    """The figures that a Python prints as a JSON object; not run here, lest it imports our packages."""
    with tempfile.TemporaryDirectory() as elsewhere:
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        command = [python, *map(str, words)]
        done = subprocess.run(command, cwd=elsewhere, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} … ended with {done.returncode}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return {name: value for name, value in figures.items() if isinstance(value, float)}


if __name__ == "__main__":
    main()
