"""``tiae simulate people``: frames of people in rooms, in shards, to train what finds hands."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tiae_ros.commands.progress import add_json, at_work, print_json
from tiae_ros.errors import ParameterError

HELP = "render people with skinned hands, any thing, any room: frames to train a detector on"
DESCRIPTION = """Render frames of people of all ages who hold things of all kinds, in rooms that deceive, seen by
cameras of four families, with what is known of each hand: masks, joints, fingertips, view, side, size.

Frames are written in shards of --scenes each into a folder. The same seed gives the same files, whoever renders them:
--shard i/n renders a part of them, so that an array of jobs on many machines, or --workers on one, share the work.
A job that was stopped goes on. Train and test on other people and things (--people, --things), and on other grasps
(--leave-out)."""
EXAMPLES = """  tiae simulate people --out frames --shards 100
  tiae simulate people --out held_out --shards 8 --seed 2 --people 90000:100000 --things 90000:100000
  tiae simulate people --out frames --shards 1000 --shard 3/20       # one of twenty jobs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of shards")
    parser.add_argument("--shards", type=int, required=True, metavar="N", help="files, in all")
    parser.add_argument("--scenes", type=int, default=64, help="of each shard (64)")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="render those whose number is I modulo N (0/1)")
    add_worlds(parser)
    parser.add_argument("--width", type=int, default=480, help="of the pictures (480)")
    parser.add_argument("--height", type=int, default=360, help="of the pictures (360)")
    parser.add_argument("--views", type=int, default=5, help="pictures of each scene (5)")
    parser.add_argument("--empty-share", type=float, default=0.15, help="of scenes without anybody's hand (0.15)")
    parser.add_argument(
        "--mujoco-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of scenes with the hands, things and rooms of `tiae simulate` (0)",
    )
    add_json(parser)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")


def add_worlds(parser: argparse.ArgumentParser) -> None:
    """Whom and what a seed is drawn from."""
    parser.add_argument("--seed", type=int, default=1, help="decides everything drawn")
    parser.add_argument("--people", default="0:90000", metavar="FIRST:END", help="people, END not included (0:90000)")
    parser.add_argument("--things", default="0:90000", metavar="FIRST:END", help="things, END not included (0:90000)")
    parser.add_argument("--leave-out", default="", metavar="NAMES", help="named grasps that nobody shows")


def run(arguments: argparse.Namespace) -> int:
    from tiae_training.world.scene import WorldSettings
    from tiae_training.world.shards import render_in_processes

    if arguments.shards < 1 or arguments.workers < 1:
        raise ParameterError(f"--shards is {arguments.shards}, --workers {arguments.workers}; both must be at least 1")
    settings = WorldSettings(
        **drawn_from(arguments),
        width=arguments.width,
        height=arguments.height,
        scenes=arguments.scenes,
        views=arguments.views,
        empty_share=arguments.empty_share,
        mujoco_share=arguments.mujoco_share,
    )
    part = _part(arguments.shard)
    at_work("rendering")
    paths = []
    for path in render_in_processes(arguments.out, settings, arguments.shards, part, arguments.workers):
        paths.append(str(path))
        print(path, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    if arguments.json:
        print_json({"shards": paths})
    return 0


def drawn_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `add_worlds` asked for, as settings have it. Raises ParameterError."""
    from tiae_training.world.hand_poses import ALL_GRASPS

    left_out = [name for name in arguments.leave_out.split(",") if name]
    unknown = [name for name in left_out if name not in ALL_GRASPS]
    if unknown:
        raise ParameterError(f"--leave-out has no grasp {', '.join(unknown)}; there are {', '.join(ALL_GRASPS)}")
    return {
        "seed": arguments.seed,
        "people": _range(arguments.people, "--people"),
        "things": _range(arguments.things, "--things"),
        "grasps": tuple(name for name in ALL_GRASPS if name not in left_out),
    }


def _range(text: str, option: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit()):
        raise ParameterError(f"{option} {text!r} is not FIRST:END, for example 0:1000")
    return int(first), int(end)


def _part(text: str) -> tuple[int, int]:
    first, _, of = text.partition("/")
    if not (first.isdigit() and of.isdigit() and int(first) < int(of)):
        raise ParameterError(f"--shard {text!r} is not I/N with I below N, for example 0/4")
    return int(first), int(of)
