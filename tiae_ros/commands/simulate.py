"""``tiae simulate``: rendered hands that hold things, as windows to train on or as a bag to play."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tiae_ros.commands.progress import add_json, at_work, counted, print_json
from tiae_ros.errors import ParameterError
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL

if TYPE_CHECKING:
    import numpy as np

    from tiae_training.simulator.simulator import SimulatorSettings

_Row = TypeVar("_Row")

HELP = "render hands that hold things: training windows (FILE.npz) or a bag"
DESCRIPTION = """Render hands of many people holding things, with known masks, depth and joint angles.

An output that ends in .npz gets windows (images, labels, label_names, joints, joint_names, subjects; for depth
also clean, the same windows without sensor noise), or with --channels frames whole pictures with their labels
(color, depth_mm, segmentation, labels, k), some of them without a hand. Any other output is a rosbag2 folder (mcap)
with colour, depth and camera info; --truth adds what is known of each frame. The same seed gives the same bytes,
whatever --workers is. Subjects are numbered people: train on some and test on others with --subjects."""
EXAMPLES = """  tiae simulate --out windows.npz --count 2000 --seed 1 --channels masks
  tiae simulate --out train_{channels}.npz --count 12000 --seed 1 --subjects 0:1000 --channels masks depth --workers 2
  tiae simulate --out test_{channels}.npz --count 2000 --seed 2 --subjects 1000:1200 --channels masks depth --workers 2
  tiae simulate --out frames.npz --count 5000 --seed 4 --channels frames --workers 2
  tiae simulate --out mybag --count 90 --seed 3 --truth mybag_truth.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae simulate``."""
    parser.add_argument(
        "--out", required=True, metavar="FILE.npz|BAG", help="what to write; {channels} stands for each of --channels"
    )
    parser.add_argument("--count", type=int, required=True, metavar="N", help="windows, or frames of a bag")
    parser.add_argument("--seed", type=int, default=0, help="decides everything drawn")
    parser.add_argument(
        "--channels",
        nargs="+",
        choices=("masks", "depth", "both", "frames"),
        default=["masks"],
        help="hand and object masks, depth, or both in one window; or whole frames with their labels (default: masks)",
    )
    parser.add_argument(
        "--grasps",
        default="all",
        metavar="NAMES",
        help="all, slides (the 13 of the slides), or names with commas between",
    )
    parser.add_argument(
        "--subjects", default="0:1000", metavar="FIRST:END", help="people, END not included (default: 0:1000)"
    )
    parser.add_argument(
        "--view",
        choices=("desk", "any"),
        help="cameras where people would look from (default), or everywhere (default of frames)",
    )
    parser.add_argument(
        "--view-spread-deg", type=float, default=30.0, help="how far cameras of --view desk differ (default: 30)"
    )
    parser.add_argument(
        "--hands",
        choices=("smooth", "primitives"),
        help="one smooth skin (default of frames and bags), or capsules and ellipsoids (default of windows: faster)",
    )
    parser.add_argument(
        "--sensor", choices=("random", "structured_light", "stereo", "none"), default="random", help="depth noise"
    )
    parser.add_argument("--max-depth-m", type=float, default=6.0, help="reach of the depth sensor (default: 6)")
    parser.add_argument(
        "--colour-noise", type=float, default=1.0, help="factor on the colour camera's noise (default: 1)"
    )
    parser.add_argument("--width", type=int, help="of the pictures (default: 160; bag: 320)")
    parser.add_argument("--height", type=int, help="of the pictures (default: 120; bag: 240)")
    parser.add_argument(
        "--segmented-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of windows, cut from masks that --segmentation found; the true ones are what is restored (default: 0)",
    )
    parser.add_argument(
        "--segmentation",
        default=DEFAULT_SEGMENTATION_MODEL,
        metavar="MODEL",
        help="what found them (default: the shipped detector)",
    )
    parser.add_argument("--window-size", type=int, default=32, help="pixels (default: 32)")
    parser.add_argument(
        "--details", action="store_true", help="keep each hand in finer pixels, too: `tiae train hand_pose` reads them"
    )
    parser.add_argument(
        "--empty-share", type=float, metavar="SHARE", help="of scenes without any hand (default: 0; frames: 0.12)"
    )
    parser.add_argument(
        "--free-share", type=float, default=0.0, metavar="SHARE", help="of hands alone, in any pose (default: 0)"
    )
    parser.add_argument(
        "--closing-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of hands whose fingers are on their way to the thing (default: 0)",
    )
    parser.add_argument("--views-per-scene", type=int, default=3, help="pictures of each grasped thing (default: 3)")
    parser.add_argument(
        "--photographs", default="", metavar="FOLDER", help="pictures (jpg, png) that replace the walls now and then"
    )
    parser.add_argument("--rate", type=float, default=15.0, help="frames per second of a bag (default: 15)")
    parser.add_argument(
        "--truth", type=Path, metavar="TRUTH.npz", help="labels, joints and grasps of each frame of a bag"
    )
    parser.add_argument(
        "--arm-length-m", type=float, default=0.46, help="how much of the arm a bag shows (default: 0.46)"
    )
    parser.add_argument(
        "--margin",
        nargs=2,
        type=int,
        default=(0, 0),
        metavar=("X", "Y"),
        help="pixels of a bag's border kept free of the grasp",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    add_json(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def run(arguments: argparse.Namespace) -> int:
    """Render and write."""
    if arguments.count < 1:
        raise ParameterError(f"--count is {arguments.count}; it must be at least 1")
    if arguments.workers < 1:
        raise ParameterError(f"--workers is {arguments.workers}; it must be at least 1")
    from tiae_training.simulator.rendering import import_mujoco

    at_work("rendering")
    import_mujoco()  # complain before workers start
    if arguments.details and not (arguments.out.endswith(".npz") and "both" in arguments.channels):
        raise ParameterError(
            f"--details goes with windows of --channels both; --out is {arguments.out}, --channels are "
            f"{' '.join(arguments.channels)}"
        )
    if arguments.out.endswith(".npz"):
        return _arrays(arguments)
    return _bag(arguments)


def _settings(
    arguments: argparse.Namespace, width: int, height: int, *, smooth: bool, varied: bool = False
) -> SimulatorSettings:
    from tiae_training.simulator.frame_set import VARIED
    from tiae_training.simulator.grasps import GRASP_NAMES, SLIDE_GRASPS
    from tiae_training.simulator.simulator import SimulatorSettings

    grasps = {"all": GRASP_NAMES, "slides": SLIDE_GRASPS}.get(arguments.grasps) or tuple(arguments.grasps.split(","))
    variations: dict[str, Any] = dict(VARIED) if varied else {}
    variations["smooth_skin"] = smooth if arguments.hands is None else arguments.hands == "smooth"
    for name in ("view", "empty_share"):
        if (value := getattr(arguments, name)) is not None:
            variations[name] = value
    return SimulatorSettings(
        seed=arguments.seed,
        width=width if arguments.width is None else arguments.width,
        height=height if arguments.height is None else arguments.height,
        grasps=grasps,
        subjects=_subjects(arguments.subjects),
        views_per_scene=arguments.views_per_scene,
        free_share=arguments.free_share,
        closing_share=arguments.closing_share,
        view_spread_deg=arguments.view_spread_deg,
        sensor=arguments.sensor,
        max_depth_m=arguments.max_depth_m,
        colour_noise=arguments.colour_noise,
        photographs=arguments.photographs,
        **variations,
    )


def _subjects(text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit()):
        raise ParameterError(f"--subjects {text!r} is not FIRST:END, for example 0:1000")
    return int(first), int(end)


def _arrays(arguments: argparse.Namespace) -> int:
    channels = list(dict.fromkeys(arguments.channels))
    if len(channels) > 1 and "{channels}" not in arguments.out:
        raise ParameterError(
            f"--channels {' '.join(channels)} makes {len(channels)} files; put {{channels}} into --out"
        )
    if "frames" in channels and len(channels) > 1:
        raise ParameterError("--channels frames goes alone: its pictures are drawn with other variations than windows")
    from tiae_training.data.arrays import refuse_existing, save_arrays
    from tiae_training.data.windows import WindowSize, window_arrays
    from tiae_training.simulator import frame_set, window_set
    from tiae_training.simulator.photographs import load_photographs
    from tiae_training.simulator.simulator import FREE

    outputs = {kind: Path(arguments.out.replace("{channels}", kind)) for kind in channels}
    for path in outputs.values():
        refuse_existing(path, overwrite=arguments.overwrite)
    settings = _settings(arguments, 160, 120, smooth=channels == ["frames"], varied=channels == ["frames"])
    if settings.photographs:
        load_photographs(settings.photographs)  # complain before workers start
    content: dict[str, dict[str, np.ndarray]]
    if channels == ["frames"]:
        samples = _take(frame_set.frames(settings, arguments.workers), arguments.count)
        content = {"frames": frame_set.arrays(samples, settings)}
    else:
        shape = WindowSize(arguments.window_size, details=arguments.details)
        segmented = window_set.Segmented(arguments.segmented_share, arguments.segmentation)
        rows = _take(window_set.window_rows(settings, shape, arguments.workers, segmented), arguments.count)
        names = (*settings.grasps, *((FREE,) if settings.free_share else ()))
        content = {kind: window_arrays(rows, names, kind, shape) for kind in channels}
    files = []
    for kind, path in outputs.items():
        at_work(f"writing {path}")
        save_arrays(path, content[kind], overwrite=arguments.overwrite)
        pictures = content[kind]["color" if kind == "frames" else "images"]
        files.append({"file": str(path), "channels": kind, "images": list(pictures.shape)})
        if not arguments.json:
            print(f"{path}: {kind} {pictures.shape}, {len(settings.grasps)} grasps")
    if arguments.json:
        print_json({"files": files, "grasps": list(settings.grasps)})
    return 0


def _take(stream: Iterator[_Row], count: int) -> list[_Row]:
    """The first rows of an endless stream, with a count."""
    with contextlib.closing(counted(stream, "pictures", count)) as rows:  # closed, it ends the workers
        return list(itertools.islice(rows, count))


def _bag(arguments: argparse.Namespace) -> int:
    from tiae_training.data.arrays import refuse_existing, save_arrays
    from tiae_training.simulator.recording import write_bag
    from tiae_training.simulator.sequence import render_sequence

    path = Path(arguments.out)
    refuse_existing(path, overwrite=arguments.overwrite)
    if arguments.truth is not None:
        refuse_existing(arguments.truth, overwrite=arguments.overwrite)
    if not 0.1 <= arguments.rate <= 1000:
        raise ParameterError(f"--rate {arguments.rate} is not within 0.1 to 1000 frames per second")
    settings = _settings(arguments, 320, 240, smooth=True)
    chosen = None if arguments.grasps in ("all", "slides") else settings.grasps
    samples = render_sequence(
        settings,
        arguments.count,
        grasps=chosen,
        arm_length_m=arguments.arm_length_m,
        margin_px=(arguments.margin[0], arguments.margin[1]),
    )
    truth = write_bag(
        counted(samples, "frames", arguments.count), path, rate_hz=arguments.rate, overwrite=arguments.overwrite
    )
    if arguments.truth is not None:
        save_arrays(arguments.truth, truth, overwrite=arguments.overwrite)
    size = sum(file.stat().st_size for file in path.iterdir())
    if arguments.json:
        print_json({"bag": str(path), "frames": arguments.count, "bytes": size})
    else:
        print(f"{path}: {arguments.count} frames, {size / 1e6:.1f} MB")
    return 0
