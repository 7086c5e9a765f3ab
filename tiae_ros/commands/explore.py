"""``tiae explore``: one HTML file that shows what a model has learnt."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "a page that shows what a model has learnt: map, clusters, neighbours, sliders"
DESCRIPTION = """Write one HTML file about a model and the windows of FILE.npz: a map of their descriptors (principal
components; with --map tsne also neighbours' own), mean-shift clusters, each window on hover, the neighbours of a
window, and a slider for each number of its descriptor, with what the decoder makes of it.

The file needs no network and no server: open it in a browser, or send it. Labels colour the map; they are not
needed. The decoder runs in the page, its weights rounded to 8 bits; the page says what that changes."""
EXAMPLES = """  tiae explore --model hands --data windows.npz
  tiae explore --model runs/mine --data windows.npz --out mine.html --max-frames 500
  tiae explore --model runs/digits --data digits.npz --map tsne --overwrite"""
MOST_FRAMES = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder, or a shipped name")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE.npz", help="windows to show; several are one"
    )
    parser.add_argument("--out", type=Path, default=Path("explore.html"), metavar="PAGE.html", help="file to write")
    parser.add_argument(
        "--max-frames", type=int, default=2000, metavar="N", help="show so many windows, evenly taken from all"
    )
    parser.add_argument(
        "--map", choices=("pca", "tsne"), default="pca", help="tsne: also a t-SNE map (needs scikit-learn; slower)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a line")
    parser.add_argument("--overwrite", action="store_true", help="replace PAGE.html")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from tiae_ros.commands.progress import at_work, print_json
    from tiae_ros.errors import OutputError, ParameterError
    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.shipped import find_model
    from tiae_training.data.arrays import join_arrays, load_arrays, refuse_existing, written_whole
    from tiae_training.explore.page import explore_page

    if not 2 <= arguments.max_frames <= MOST_FRAMES:
        raise ParameterError(f"--max-frames is {arguments.max_frames}; accepted is 2 to {MOST_FRAMES}")
    if arguments.out.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"--out {arguments.out} does not end in .html; a browser opens no other name as a page")
    refuse_existing(arguments.out, overwrite=arguments.overwrite)
    at_work("reading the model and the windows")
    folder = find_model(arguments.model)
    model = load_model(folder, arguments.device)
    whole = join_arrays([load_arrays(path, at_least=2) for path in arguments.data])
    shown = min(len(whole), arguments.max_frames)
    rows = np.linspace(0, len(whole) - 1, shown).round().astype(np.int64)
    at_work(f"describing and clustering {shown} windows")
    page = explore_page(model, whole.take(rows), rows, folder, tsne=arguments.map == "tsne").encode("utf-8")
    with written_whole(arguments.out) as staged:
        staged.write_bytes(page)
    if arguments.json:
        print_json({"page": str(arguments.out), "windows": shown, "of": len(whole), "bytes": len(page)})
    else:
        print(f"{arguments.out}: {shown} of {len(whole)} windows, {len(page) / 1e6:.1f} MB; open it in a browser")
    return 0
