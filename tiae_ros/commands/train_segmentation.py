"""``tiae train segmentation``: learn what finds hands in a frame, from rendered frames."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.commands.progress import add_json, at_work, print_json
from tiae_ros.commands.train import add_settings, asked_settings, run_options, write_config
from tiae_ros.errors import DataError, OutputError, ParameterError
from tiae_ros.options import add_config

if TYPE_CHECKING:
    from tiae_ros.model.manifest import Manifest
    from tiae_training.networks.segmentation import SegmentationNetwork
    from tiae_training.segmentation.frames import FrameArrays
    from tiae_training.segmentation.settings import SegmentationTraining

HELP = "train the network that finds hands in a frame"
DESCRIPTION = """Train a segmentation network on frames of `tiae simulate --channels frames`.

Pictures without a hand in which a network sees one teach it most: --hard-negatives picks them out of many, to learn
from beside the others. --average makes the mean of networks that began from one another; --start goes on from a model.
Where frames are given, the model also gets a graph in whole numbers of 8 bits, by --data, or by --test where an
average is given no others. --prefetch on two cores, and --precision bfloat16 on CPUs that have it, take less time."""
EXAMPLES = """  tiae simulate --out any.npz --count 15000 --seed 101 --subjects 0:1000 --channels frames
  tiae simulate --out held_out.npz --count 1000 --seed 901 --subjects 1000:1200 --channels frames
  tiae train segmentation --data any.npz --test held_out.npz --out runs/segmentation
  tiae train segmentation --data any.npz --start segmentation --widths 32 64 64 128 --out runs/wider
  tiae train segmentation --data any.npz --steps 20000 --keep 15000 --out runs/long
  tiae train segmentation --average runs/one runs/two --data any.npz --out runs/mean
  tiae simulate --out empty.npz --count 8000 --seed 103 --channels frames --empty-share 1
  tiae train segmentation --hard-negatives runs/segmentation --data empty.npz --out hard.npz"""
KEPT = ("data", "test", "average", "start", "widths", "prefetch", "keep")  # in config.yaml, beside the settings
SAVE_EVERY = 1000  # steps; what a kill may cost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tiae_training.segmentation.settings import SegmentationTraining

    parser.add_argument("--data", type=Path, nargs="+", metavar="FRAMES.npz", help="frames to learn from")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--average",
        nargs="+",
        metavar="DIR",
        help="train nothing: the mean of these models; one given twice counts twice",
    )
    what.add_argument(
        "--hard-negatives",
        metavar="DIR",
        help="train nothing: write those of --data without a hand in which this model sees one",
    )
    parser.add_argument("--test", type=Path, nargs="+", metavar="FRAMES.npz", help="held-out frames")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder (or FRAMES.npz) to write")
    parser.add_argument("--start", metavar="MODEL", help="go on from this model")
    parser.add_argument(
        "--widths", type=int, nargs=4, metavar="CHANNELS", help="at 1/2, 1/4, 1/8, 1/16; wider than --start is widened"
    )
    add_settings(parser, SegmentationTraining())
    parser.add_argument(
        "--prefetch", action="store_true", help="draw frames in a process of its own: quicker on two cores"
    )
    parser.add_argument(
        "--keep",
        type=int,
        metavar="STEP",
        help=f"also write DIR_STEP, the network after so many steps (a multiple of {SAVE_EVERY}), for --average",
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def run(arguments: argparse.Namespace) -> int:
    at_work("loading PyTorch and the frames")
    from tiae_training.segmentation.folder import measures_of, save_segmentation, with_measures
    from tiae_training.segmentation.frames import load_frames
    from tiae_training.segmentation.settings import SegmentationTraining

    _check(arguments)
    settings = SegmentationTraining(**asked_settings(arguments, SegmentationTraining()))
    kept = [_kept_folder(arguments)] if arguments.keep else []
    for folder in (arguments.out, *kept):
        if folder.is_file():
            raise OutputError(f"{folder} is a file; --out takes a folder")
        if folder.exists() and not arguments.overwrite:
            raise OutputError(f"{folder} exists; give another --out or --overwrite")
    if arguments.keep is not None and (arguments.keep % SAVE_EVERY or not 0 < arguments.keep <= settings.steps):
        raise ParameterError(f"keep is {arguments.keep}; it must be a multiple of {SAVE_EVERY} up to {settings.steps}")
    if arguments.hard_negatives:
        return _write_hard_negatives(arguments)
    test = load_frames(arguments.test) if arguments.test else None
    data = load_frames(arguments.data) if arguments.data else None
    if data is None or arguments.average:
        network, manifest = _averaged(arguments)
    else:
        network, manifest = _trained(arguments, data, settings)
    save_segmentation(network, arguments.out, manifest, test if data is None else data, settings)
    write_config(arguments.out, "tiae train segmentation", run_options(arguments, settings, KEPT))
    measures: dict[str, float] = {}
    if test is not None:  # what is measured is what is stored
        measures = measures_of(arguments.out, test)
        with_measures(arguments.out, measures)
    if arguments.json:
        print_json({"model": str(arguments.out), "measures": measures})
    else:
        print(f"{arguments.out}: {measures}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise ParameterError for options that do not go together."""
    if not arguments.data and not arguments.average:
        raise ParameterError("--data is missing; give frames to learn from (tiae simulate --channels frames)")
    trains_nothing = next((name for name in ("average", "hard_negatives") if getattr(arguments, name)), "")
    beside = next((name for name in ("start", "widths", "keep") if getattr(arguments, name)), "")
    if trains_nothing and beside:
        raise ParameterError(f"--{beside} is for training; --{trains_nothing.replace('_', '-')} trains nothing")


def _kept_folder(arguments: argparse.Namespace) -> Path:
    """Where the network of step ``--keep`` goes."""
    out: Path = arguments.out
    return out.with_name(f"{out.name}_{arguments.keep}")


def _write_hard_negatives(arguments: argparse.Namespace) -> int:
    from tiae_ros.model.segmenter import load_segmentation
    from tiae_training.segmentation.evaluation import hard_negatives
    from tiae_training.segmentation.frames import load_frames, save_frames

    frames = load_frames(arguments.data)
    chosen = hard_negatives(load_segmentation(arguments.hard_negatives, precision="float32"), frames)
    if not len(chosen):
        raise DataError(
            f"in none of {len(frames)} frames does {arguments.hard_negatives} see a hand that is not there; give more "
            "frames without a hand"
        )
    save_frames(arguments.out, frames, chosen, overwrite=arguments.overwrite)
    print(f"{arguments.out}: {len(chosen)} of {len(frames)} frames")
    return 0


def _trained(
    arguments: argparse.Namespace, frames: FrameArrays, settings: SegmentationTraining
) -> tuple[SegmentationNetwork, Manifest]:
    from tiae_training.segmentation.folder import save_segmentation, segmentation_manifest
    from tiae_training.segmentation.training import first_network, train

    at_work("training")
    network, begun = first_network(settings, arguments.start, arguments.widths)
    training: dict[str, Any] = {
        "command": _command_line(arguments, settings),
        "data": " ".join(path.name for path in arguments.data),
        "frames": len(frames),
        "settings": dataclasses.asdict(settings),
        **begun,
    }
    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        at_work(f"training, after step {step}")
        spent = time.monotonic() - began
        stream = sys.stderr if arguments.json else sys.stdout
        print(f"step {step}/{settings.steps}  loss {loss:.3f}  {spent:.0f} s", file=stream, flush=True)
        if (step % SAVE_EVERY == 0 and step < settings.steps) or step == arguments.keep:
            on_the_way = {"unfinished": f"step {step} of {settings.steps}", **training}
            for folder in (arguments.out, *([_kept_folder(arguments)] if step == arguments.keep else [])):
                save_segmentation(network, folder, segmentation_manifest(network, training=on_the_way), rounded=False)
            network.train()

    train(frames, settings, start=network, report=report, prefetch=arguments.prefetch)
    return network, segmentation_manifest(network, model_id=arguments.out.name, training=training)


def _averaged(arguments: argparse.Namespace) -> tuple[SegmentationNetwork, Manifest]:
    from tiae_training.mean_weights import origins
    from tiae_training.segmentation.folder import load_segmentation_network, segmentation_manifest
    from tiae_training.segmentation.settings import SegmentationTraining
    from tiae_training.segmentation.training import average

    parts = [load_segmentation_network(folder) for folder in arguments.average]
    network = average([network for network, _ in parts])
    origin = origins(arguments.average, [manifest.training for _, manifest in parts])
    settings = SegmentationTraining(**asked_settings(arguments, SegmentationTraining()))
    training = {"command": _command_line(arguments, settings), **origin}
    return network, segmentation_manifest(network, model_id=arguments.out.name, training=training)


def _command_line(arguments: argparse.Namespace, settings: SegmentationTraining) -> str:
    """The command that makes this model again, without this machine's folders."""
    words = ["tiae train segmentation"]
    for name in ("data", "test", "average"):
        if getattr(arguments, name):
            words.append(f"--{name} " + " ".join(Path(path).name for path in getattr(arguments, name)))
    words += [f"--start {Path(arguments.start).name}"] if arguments.start else []
    words += ["--widths " + " ".join(map(str, arguments.widths))] if arguments.widths else []
    usual = type(settings)()
    for field in dataclasses.fields(settings):
        if getattr(settings, field.name) != getattr(usual, field.name):
            words.append(f"{field.metadata['flag']} {getattr(settings, field.name)}")
    words += [f"--keep {arguments.keep}"] if arguments.keep else []
    words += ["--prefetch"] if arguments.prefetch else []
    return " ".join([*words, f"--out {arguments.out.name}"])
