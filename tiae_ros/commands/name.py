"""``tiae name``: what a trained model calls what it sees."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'teach a trained model names, so that the node says "cup" or unknown'
DESCRIPTION = """Give a model names from labelled windows (`tiae extract --label NAME`, or any FILE.npz with labels and
label_names). Equal names of several files are one. Nothing is trained: descriptors of the windows are kept as
prototypes, and what is far from all of them, or about as near to those of two names, is unknown (the node's label is
then empty). Names the model had before are replaced; weights and measures stay. The folder holds the old model or the
new one at any moment.

Each fifth of a name's windows, in their order, is judged by the other four; the table says how often the name is
right, unknown and wrong. With --unknown, it says how many windows of other things are called unknown."""
EXAMPLES = """  tiae name --model runs/mine --data cup.npz pen.npz scissors.npz
  tiae name --model runs/mine --data cup.npz pen.npz --unknown other.npz --near-share 0.8
  tiae name --model grasp --data drill.npz --out models/drill    # a shipped model, copied"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    parser.add_argument("--data", type=Path, required=True, nargs="+", metavar="FILE.npz", help="labelled windows")
    parser.add_argument(
        "--unknown", type=Path, nargs="+", default=[], metavar="FILE.npz", help="windows of other things"
    )
    parser.add_argument(
        "--near-share",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="of held-out windows that shall be near enough to have a name; less: unknown is said more often (0.9)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a named copy here, and leave --model as it is")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--overwrite", action="store_true", help="replace the model in --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.commands.progress import at_work, print_json
    from tiae_ros.errors import ParameterError
    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.folder import MANIFEST
    from tiae_ros.model.shipped import find_model
    from tiae_training.data.arrays import load_arrays, refuse_existing
    from tiae_training.naming import merge_by_name, name_model, refuse_the_same
    from tiae_training.prototypes import save_prototypes

    source = find_model(arguments.model)
    if arguments.out is None and source != Path(arguments.model).expanduser():
        raise ParameterError(f"{arguments.model} is a shipped model; give --out DIR for a named copy of it")
    if arguments.out is not None:
        refuse_existing(arguments.out / MANIFEST, overwrite=arguments.overwrite)
    at_work("reading the model and the windows")
    model = load_model(source, arguments.device)
    parts, others = ([load_arrays(path) for path in paths] for paths in (arguments.data, arguments.unknown))
    refuse_the_same([*parts, *others])
    arrays = merge_by_name(parts)
    at_work(f"describing {len(arrays)} windows")
    named = name_model(model, arrays, others, near_share=arguments.near_share)
    save_prototypes(source, named.prototypes, named.training, out=arguments.out)
    if arguments.json:
        told = {judged.name: {n: v for n, v in vars(judged).items() if n != "name"} for judged in named.names}
        print_json({"model": str(arguments.out or source), "names": told, "others_unknown": named.others_unknown})
        return 0
    print(
        f"{arguments.out or source}: knows {len(named.names)} names from {len(arrays)} windows; "
        "each fifth judged by the others:"
    )
    width = max(len("name"), *(len(judged.name) for judged in named.names))
    print(f"  {'name':{width}s}  windows  right  unknown  wrong")
    for judged in named.names:
        shares = f"{judged.right:5.2f}  {judged.unknown:7.2f}  {judged.wrong:5.2f}"
        print(f"  {judged.name:{width}s}  {judged.windows:7d}  {shares}")
    if named.others_unknown is not None:
        print(f"{sum(map(len, others))} windows of other things: {named.others_unknown:.2f} are called unknown")
    return 0
