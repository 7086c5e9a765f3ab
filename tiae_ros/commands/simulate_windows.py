"""``tiae simulate windows``: windows to train auto-encoders on, cut from frames of people."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tiae_ros.commands.progress import add_json, at_work, print_json
from tiae_ros.errors import DataError, ParameterError
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL

HELP = "cut windows to train on from frames of people"
DESCRIPTION = """Cut a window for each hand in frames of `tiae simulate people`, as the node cuts them from a camera's.

Masks are the true ones, or of --segmented-share of the frames those that --segmentation finds; what is to be restored
(clean) are always the true masks of the window's hand and the depth without the sensor's faults. A file holds images,
clean, labels, label_names, joints, tips_mm, keypoints, view, hand_size_m, subjects and left_hand; with --details also
details."""
EXAMPLES = """  tiae simulate people --out frames --shards 40
  tiae simulate windows --frames frames --out "world_{channels}.npz" --channels masks both depth
  tiae simulate windows --frames frames --out found_both.npz --channels both --segmented-share 0.5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=Path, nargs="+", required=True, metavar="DIR", help="folders of frames")
    parser.add_argument(
        "--out", required=True, metavar="FILE.npz", help="what to write; {channels} stands for each of --channels"
    )
    parser.add_argument(
        "--channels",
        nargs="+",
        choices=("masks", "depth", "both"),
        default=["both"],
        help="hand and object masks, depth, or both in one window (both)",
    )
    parser.add_argument("--count", type=int, metavar="N", help="windows, at most (default: all)")
    parser.add_argument(
        "--segmented-share", type=float, default=0.0, metavar="SHARE", help="of frames cut by what is found (0)"
    )
    parser.add_argument(
        "--segmentation",
        default=DEFAULT_SEGMENTATION_MODEL,
        metavar="MODEL",
        help="what finds hands in these frames (default: the shipped detector)",
    )
    parser.add_argument("--window-size", type=int, default=32, help="pixels (32)")
    parser.add_argument(
        "--details", action="store_true", help="keep each hand in finer pixels, too: `tiae train hand_pose` reads them"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the frames that --segmentation looks at (0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    add_json(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def run(arguments: argparse.Namespace) -> int:
    from tiae_training.data.arrays import refuse_existing, save_arrays
    from tiae_training.data.windows import WindowRow, WindowSize, window_arrays
    from tiae_training.detection.prepare import shards_of
    from tiae_training.detection.windows import LABEL_NAMES, rows_of_shards
    from tiae_training.simulator.window_set import Segmented

    channels = list(dict.fromkeys(arguments.channels))
    if len(channels) > 1 and "{channels}" not in arguments.out:
        raise ParameterError(
            f"--channels {' '.join(channels)} makes {len(channels)} files; put {{channels}} into --out"
        )
    for name, least in (("count", 1), ("workers", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ParameterError(f"--{name} is {value}; it must be at least {least}")
    if arguments.details and "both" not in channels:
        raise ParameterError(f"--details goes with --channels both; --channels are {' '.join(channels)}")
    outputs = {kind: Path(arguments.out.replace("{channels}", kind)) for kind in channels}
    for path in outputs.values():
        refuse_existing(path, overwrite=arguments.overwrite)
    shape = WindowSize(arguments.window_size, details=arguments.details)
    segmented = Segmented(arguments.segmented_share, arguments.segmentation)
    rows: list[WindowRow] = []
    at_work("cutting windows")
    for path, found in rows_of_shards(shards_of(arguments.frames), shape, segmented, arguments.seed, arguments.workers):
        rows += found
        print(f"{path}: {len(found)} windows", file=sys.stderr if arguments.json else sys.stdout, flush=True)
        if arguments.count is not None and len(rows) >= arguments.count:
            break
    if not rows:
        raise DataError(f"{', '.join(map(str, arguments.frames))} show no hand of which enough is seen")
    rows = rows[: arguments.count]
    files = []
    for kind, path in outputs.items():
        content = window_arrays(rows, LABEL_NAMES, kind, shape)
        save_arrays(path, content, overwrite=arguments.overwrite)
        files.append({"file": str(path), "channels": kind, "images": list(content["images"].shape)})
        if not arguments.json:
            print(f"{path}: {kind} {content['images'].shape}")
    if arguments.json:
        print_json({"files": files})
    return 0
