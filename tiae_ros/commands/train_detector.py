"""``tiae train detector``: learn what finds hands in a picture, from rendered frames."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.commands.progress import add_json, at_work, print_json
from tiae_ros.commands.train import add_settings, asked_settings, run_options, write_config
from tiae_ros.errors import OutputError, ParameterError
from tiae_ros.options import add_config

if TYPE_CHECKING:
    from tiae_training.devices import Device

HELP = "train the two networks that find hands in a picture"
DESCRIPTION = """Train a hand detector on frames of `tiae simulate people`: a first look over the whole picture, then a
second one, close up, at each place where a hand may be.

Real pictures of rooms without a hand (--empty) teach it what is none; --test frames calibrate its confidence and
measure it. Examples are kept in --work and not made again. By several processes, each with its share of every batch:
`torchrun --nproc-per-node N -m -- tiae_training.detection` takes the same options. The same command, with
--overwrite, goes on with the part in which a training was stopped."""
EXAMPLES = """  tiae simulate people --out frames --shards 100
  tiae simulate people --out held_out --shards 8 --seed 2 --people 90000:100000 --things 90000:100000
  tiae train detector --data frames --test held_out --out runs/detector
  tiae train detector --data frames --empty my_rooms --test held_out --start runs/detector --out runs/mine"""

KEPT = ("data", "test", "empty", "empty_pattern", "work", "start", "minutes", "workers", "device")  # in config.yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tiae_training.detection.settings import DetectorTraining

    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FRAMES", help="folders of frames")
    parser.add_argument("--test", type=Path, nargs="+", metavar="FRAMES", help="folders of frames of other people")
    parser.add_argument(
        "--empty",
        type=Path,
        metavar="DIR",
        help="real rooms without a hand: NAME_color.jpg (png) beside NAME_depth_mm.png",
    )
    parser.add_argument("--empty-pattern", default="*_color.*", metavar="GLOB", help="which of them (*_color.*)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for examples (default: OUT_work)")
    parser.add_argument("--start", metavar="MODEL", help="go on from this model")
    parser.add_argument("--minutes", type=float, default=1e9, help="of either training, at most (default: no limit)")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes (default: one per core); two train both looks at once",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    add_settings(parser, DetectorTraining())
    add_config(parser)
    add_json(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def run(arguments: argparse.Namespace) -> int:
    at_work("loading PyTorch")
    from tiae_training.train.distributed import joined_processes

    with joined_processes(arguments.device) as device:
        return _train(arguments, device)


def _train(arguments: argparse.Namespace, device: Device) -> int:
    """All of it on one device; where several processes train together, the first one writes and prints."""
    from tiae_training.detection import recipe
    from tiae_training.detection.examples import read_rows
    from tiae_training.detection.folder import detector_manifest, load_detector, save_detector, with_facts
    from tiae_training.detection.networks import detector_of, new_detector
    from tiae_training.detection.prepare import real_frames, shards_of
    from tiae_training.detection.settings import DetectorTraining
    from tiae_training.processes import process_count, process_rank
    from tiae_training.train.distributed import first_alone

    settings = DetectorTraining(**asked_settings(arguments, DetectorTraining()))
    if not arguments.minutes > 0:
        raise ParameterError(f"--minutes is {arguments.minutes}; it must be above 0")
    if arguments.workers < 1:
        raise ParameterError(f"--workers is {arguments.workers}; it must be at least 1")
    for name in ("proposal_batch", "close_batch"):
        if getattr(settings, name) % process_count():
            raise ParameterError(
                f"{name} is {getattr(settings, name)} for {process_count()} processes; accepted is a multiple of them"
            )
    out: Path = arguments.out
    if out.is_file():
        raise OutputError(f"{out} is a file; --out takes a folder")
    if out.exists() and not arguments.overwrite:
        raise OutputError(f"{out} exists; give another --out or --overwrite")
    work = arguments.work or out.with_name(f"{out.name}_work")
    shards = shards_of(arguments.data)
    test = shards_of(arguments.test) if arguments.test else []
    empty = list(real_frames(arguments.empty, arguments.empty_pattern)) if arguments.empty else []
    detector, start = load_detector(arguments.start) if arguments.start else (new_detector(settings.seed), None)
    if len(test) == 1:
        told = "one shard to test on: confidence is calibrated and measured on the same frames"
        print(told, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    detector.to(device)
    # What it says on the way is for people.
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        first_alone("examples", lambda: recipe.prepare_once(shards, empty, work, settings.seed, arguments.workers))
        recipe.train_detector(detector, shards, empty, work, settings, arguments.minutes, arguments.workers)
    if process_rank():
        return 0
    trained = detector_of(detector.parts)  # of one process, on the CPU
    trained.load_state_dict(detector.state_dict())
    training: dict[str, Any] = {
        "command": _command_line(arguments, settings),
        "data": " ".join(folder.name for folder in arguments.data),
        "frames": 0,
        "settings": dataclasses.asdict(settings),
    }
    if start is not None:
        training["started from"] = dict(start.training)
    training["frames"] = len(read_rows(work / "grids")["focal"])
    manifest = detector_manifest(trained, model_id=out.name, training=training)
    save_detector(trained.eval(), out, manifest, recipe.examples_for_8_bits(work, settings))
    write_config(out, "tiae train detector", run_options(arguments, settings, KEPT))
    measures: dict[str, Any] = {}
    if test:
        half = max(1, len(test) // 2)
        with_facts(out, calibration=recipe.calibrate(out, test[:half]))
        measures = recipe.measured(out, test[half:] or test)
        with_facts(out, measures=measures)
        if not arguments.json:
            print(measures)
    if arguments.json:
        print_json({"model": str(out), "measures": measures})
    else:
        print(f"{out}: written")
    return 0


def _command_line(arguments: argparse.Namespace, settings: object) -> str:
    """The command that makes this model again, without this machine's folders."""
    words = ["tiae train detector"]
    for name in ("data", "test"):
        if getattr(arguments, name):
            words.append(f"--{name} " + " ".join(folder.name for folder in getattr(arguments, name)))
    words += [f"--empty {arguments.empty.name} --empty-pattern '{arguments.empty_pattern}'"] if arguments.empty else []
    words += [f"--start {Path(arguments.start).name}"] if arguments.start else []
    words += [f"--minutes {arguments.minutes:g}"] if arguments.minutes < 1e8 else []
    usual = type(settings)()
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        if getattr(settings, field.name) != getattr(usual, field.name):
            words.append(f"{field.metadata['flag']} {getattr(settings, field.name)}")
    return " ".join([*words, f"--out {arguments.out.name}"])
