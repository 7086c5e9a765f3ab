"""``tiae simulate hands``: windows of hands alone with their joints, to train what tells a hand's pose."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import time
from pathlib import Path

from tiae_ros.commands.progress import add_json, at_work, counted, print_json
from tiae_ros.commands.simulate_people import add_worlds, drawn_from
from tiae_ros.errors import ParameterError

HELP = "render hands near and from all around: windows with joints, many a second"
DESCRIPTION = """Render hands of all people in free poses, in grasps and on their way to them, near and from all around,
and cut the window of each, and its detail in finer pixels, as the node cuts them from a camera's picture.

Masks are as rough as a segmentation's in --rough-share of the windows, else the true ones; what is to be restored
(clean) are the true ones. A file holds what one of `tiae simulate windows` does, and details. The same seed gives the
same bytes, whatever --workers is."""
EXAMPLES = """  tiae simulate hands --out hands.npz --count 40000 --leave-out ball,phone,key
  tiae simulate hands --out hands_test.npz --count 1500 --seed 2 --people 90000:100000 --things 90000:100000"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="what to write")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="windows")
    add_worlds(parser)
    parser.add_argument("--free-share", type=float, default=0.5, metavar="SHARE", help="of hands alone (0.5)")
    parser.add_argument(
        "--rough-share", type=float, default=0.6, metavar="SHARE", help="of masks as rough as a segmentation's (0.6)"
    )
    parser.add_argument(
        "--hidden-share",
        type=float,
        default=0.12,
        metavar="SHARE",
        help="of hands with something before up to a third (0.12)",
    )
    parser.add_argument("--window-size", type=int, default=32, help="pixels (32)")
    add_json(parser)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    from tiae_training.data.arrays import refuse_existing, save_arrays
    from tiae_training.data.windows import WindowSize, window_arrays
    from tiae_training.detection.windows import LABEL_NAMES
    from tiae_training.imitation.hand_windows import rows_of_people
    from tiae_training.world.hand_views import HandViewSettings

    if arguments.count < 1 or arguments.workers < 1:
        raise ParameterError(f"--count is {arguments.count}, --workers {arguments.workers}; both must be at least 1")
    if arguments.out.suffix != ".npz":
        raise ParameterError(f"--out {arguments.out} is not a FILE.npz")
    refuse_existing(arguments.out, overwrite=arguments.overwrite)
    settings = HandViewSettings(
        **drawn_from(arguments),
        free_share=arguments.free_share,
        rough_share=arguments.rough_share,
        hidden_share=arguments.hidden_share,
    )
    shape = WindowSize(arguments.window_size, details=True)
    at_work("rendering")
    started = time.monotonic()
    people = rows_of_people(settings, shape, arguments.workers)
    stream = counted(itertools.chain.from_iterable(people), "windows", arguments.count)
    with contextlib.closing(people), contextlib.closing(stream):  # closed, they end the workers
        rows = list(itertools.islice(stream, arguments.count))
    rate = len(rows) / max(time.monotonic() - started, 1e-9)
    at_work(f"writing {arguments.out}")
    save_arrays(arguments.out, window_arrays(rows, LABEL_NAMES, "both", shape), overwrite=arguments.overwrite)
    if arguments.json:
        print_json({"file": str(arguments.out), "windows": len(rows), "per_second": round(rate, 1)})
    else:
        print(f"{arguments.out}: {len(rows)} windows, {rate:.0f} a second")
    return 0
