"""``tiae train``: learn an auto-encoder from an array file."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.commands.progress import at_work, print_json, say, speaks_for_itself
from tiae_ros.options import add_config, config_text

if TYPE_CHECKING:
    from tiae_training.devices import Device
    from tiae_training.train.settings import TrainingSettings

CONFIG = "config.yaml"  # of a run, beside its model
MODELS = ("start", "average", "model", "segmentation")  # options that name models
KEPT = (
    "data",
    "test",
    "start",
    "device",
    "model_id",
    "preprocessing",
    "half_weights",
    "checkpoint_minutes",
    "tensorboard",
)
PLAIN_LINES_S = 2.0  # between lines about epochs, where there is no terminal
HELP = "train an auto-encoder on FILE.npz (or: train segmentation, train detector)"
DESCRIPTION = """Train a (transform-invariant) auto-encoder on the windows of FILE.npz; no labels are needed.

Progress is saved every minute into the output folder: an interrupted training goes on with --resume, and
the same seed gives the same model on one kind of CPU. With --test the model is measured when it is done.
A training that collapses (one restored picture for every input) starts again from another initialisation,
--restarts times; if it ends collapsed it says so and the exit code is 1.

The run's folder also gets config.yaml, with all of these options: `tiae train --config runs/x/config.yaml --out
runs/y` makes the run again, and other options beside it change them.

By several processes, each with its share of every batch, with the same result as by one:
`torchrun --nproc-per-node N -m tiae_training` takes the same options.
What finds hands in a frame is trained by `tiae train segmentation` or `tiae train
detector`."""
EXAMPLES = """  tiae train --data digits.npz --transforms shift --out runs/digits
  tiae train --data digits.npz --test held_out.npz --out runs/digits --epochs 100 --seed 3
  tiae train --data mine.npz theirs.npz --start hands --out runs/ours
  tiae train --data digits.npz --transforms none --out runs/ordinary       # an ordinary auto-encoder
  tiae train --data digits.npz --transforms shift,rotation,scale,background --out runs/posed
  tiae train --resume --out runs/digits                                    # after an interruption
  tiae train --config runs/digits/config.yaml --epochs 80 --out runs/longer
  tiae train --data digits.npz --out runs/digits --tensorboard             # then: tensorboard --logdir runs
  tiae train --data digits.npz --out runs/digits --epochs 200 --validation-fraction 0.1 --patience 60"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tiae_training.train.settings import TrainingSettings

    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="FILE.npz",
        help="windows to learn from: images (N, C, H, W); several are one",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the model")
    parser.add_argument("--start", metavar="MODEL", help="go on from this model: a folder, or a shipped one's name")
    parser.add_argument("--test", type=Path, metavar="FILE.npz", help="held-out windows to measure the model on")
    add_settings(parser, TrainingSettings())
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--model-id", default="", help="name in the manifest (default: the folder's)")
    parser.add_argument(
        "--preprocessing",
        default="",
        metavar="K=V,…",
        help="how frames become these windows, kept in the manifest, e.g. metric_size_m=0.3,range_m=0.3 (what "
        "`tiae extract` has put into --data)",
    )
    parser.add_argument(
        "--half-weights",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="round the weights in the end so that the file is half as large; measures are of the rounded ones",
    )
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=1.0,
        metavar="K",
        help="what a kill at any moment may cost: minutes between saves; 0: save after every step (1)",
    )
    parser.add_argument(
        "--tensorboard",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also write the terms of each epoch to OUT/tensorboard (needs the extra `tensorboard`)",
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="in the end one JSON object instead of lines")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue the unfinished training in --out")
    again.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def add_settings(parser: argparse.ArgumentParser, usual: Any) -> None:
    """An option for each field of a settings dataclass that has a flag; what is not given stays None."""
    for field in dataclasses.fields(usual):
        if "flag" not in field.metadata:
            continue
        default = getattr(usual, field.name)
        text = str(field.metadata["help"])
        takes: dict[str, Any] = {"action": argparse.BooleanOptionalAction}  # a file's `true` can be undone
        if not isinstance(default, bool):
            takes = {"type": type(default), "metavar": field.metadata["flag"].rpartition("-")[2].upper()}
            text += f" (default: {field.default})" if field.default not in (None, "") else ""
        parser.add_argument(field.metadata["flag"], dest=field.name, default=None, help=text, **takes)


def asked_settings(arguments: argparse.Namespace, usual: Any) -> dict[str, Any]:
    """The settings that were given."""
    names = [field.name for field in dataclasses.fields(usual) if "flag" in field.metadata]
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.errors import ParameterError

    at_work("loading PyTorch")
    from tiae_training.train.distributed import joined_processes

    if not arguments.checkpoint_minutes >= 0:
        raise ParameterError(f"--checkpoint-minutes is {arguments.checkpoint_minutes}; accepted is 0 or more")
    with joined_processes(arguments.device) as device:
        return _train(arguments, device)


def _train(arguments: argparse.Namespace, device: Device) -> int:
    """All of it on one device; where several processes train together, the first one writes and prints."""
    from tqdm import tqdm

    from tiae_ros.errors import ParameterError
    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.manifest import check_preprocessing
    from tiae_training.data.arrays import join_arrays, left_out, load_arrays
    from tiae_training.measures import measure_model
    from tiae_training.model import load_network
    from tiae_training.processes import process_rank
    from tiae_training.train import folder as folders
    from tiae_training.train.checks import SMALLEST_DATA, check_trainable
    from tiae_training.train.distributed import wait_for_all
    from tiae_training.train.precision import autocast_type, set_threads
    from tiae_training.train.run import add_measures, fit_to_start, resumed_settings, started_settings, train
    from tiae_training.train.settings import TrainingSettings
    from tiae_training.train.tensorboard import EventFiles

    first = process_rank() == 0
    asked = asked_settings(arguments, TrainingSettings())
    preprocessing = parse_pairs(arguments.preprocessing)
    check_preprocessing(preprocessing)
    data_paths: list[Path] = arguments.data or []
    if arguments.resume and arguments.start:
        raise ParameterError(f"--start {arguments.start} with --resume; what is resumed goes on from its checkpoint")
    start = load_network(arguments.start) if arguments.start else None
    if arguments.resume:
        settings, saved_path = resumed_settings(arguments.out, asked)
        data_paths = data_paths or _paths_of(saved_path)
    else:
        settings = started_settings(asked, start)
    if not data_paths:
        raise ParameterError("--data is missing; give an .npz file with images (N, C, H, W)")
    at_work("reading the windows")
    parts = [load_arrays(path, at_least=SMALLEST_DATA) for path in data_paths]
    arrays = join_arrays(parts)
    for line in left_out(parts, arrays) if first else ():
        print(f"tiae train: {line}", file=sys.stderr)
    del parts  # of several files: as much memory again
    check_trainable(arrays)
    if start is not None:
        arrays = fit_to_start(arrays, start)
        preprocessing = {**start.manifest.preprocessing, **arrays.preprocessing, **preprocessing}
    autocast_type(settings.precision, device)
    held_out = load_arrays(arguments.test) if arguments.test else None
    if held_out is not None and held_out.images.shape[1:] != arrays.images.shape[1:]:
        raise ParameterError(
            f"--test holds windows {held_out.images.shape[1:]}, --data {arrays.images.shape[1:]}; they must be alike"
        )
    held_out = held_out.in_order(arrays.channels) if held_out is not None and arrays.channels else held_out
    set_threads()
    events = EventFiles(arguments.out) if arguments.tensorboard and first else None
    with contextlib.ExitStack() as held:
        if first:
            folders.prepare_run(arguments.out, resume=arguments.resume, overwrite=arguments.overwrite)
            held.enter_context(folders.only_one_training(arguments.out))
            arguments.data = data_paths
            write_config(arguments.out, "tiae train", run_options(arguments, settings, KEPT))
        wait_for_all()
        bar = held.enter_context(
            tqdm(total=settings.epochs, unit="epoch", disable=None if first else True, file=sys.stderr)
        )
        if bar.disable:
            at_work("training, the first epoch")
        else:
            speaks_for_itself()
        told, begun = time.monotonic(), time.time()

        def report(epoch: int, terms: dict[str, float]) -> None:
            nonlocal told
            shown = {n: f"{terms[n]:.3g}" for n in ("restoration", "invariance")}
            bar.n = epoch + 1
            bar.set_postfix(shown, refresh=True)
            if events is not None:
                events.add(epoch, terms)
            if first and bar.disable and (time.monotonic() - told >= PLAIN_LINES_S or epoch + 1 == settings.epochs):
                told = time.monotonic()
                values = ", ".join(f"{name} {value}" for name, value in shown.items())
                say(f"tiae train: epoch {epoch + 1}/{settings.epochs}, {values}")
                at_work(f"training, epoch {epoch + 2}" if epoch + 1 < settings.epochs else "writing the model")

        def announce(line: str) -> None:
            if first:
                bar.write(f"tiae train: {line}", file=sys.stderr)

        try:
            train(
                arrays,
                settings,
                arguments.out,
                data_path=json.dumps([str(path.resolve()) for path in data_paths]),
                device=device,
                resume=arguments.resume,
                preprocessing={**arrays.preprocessing, **preprocessing},
                model_id=arguments.model_id,
                command=_command_line(arguments, data_paths, settings, asked),
                checkpoint_minutes=arguments.checkpoint_minutes,
                half_weights=arguments.half_weights,
                start=start,
                report=report,
                announce=announce,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_how_to_go_on(arguments.out, begun, resumed=arguments.resume)) from None
        bar.close()
        if events is not None:
            events.close()
        if not first:
            return 0
        measures: dict[str, float] = {}
        if held_out is not None:
            at_work(f"measuring on {len(held_out)} windows")
            measures = measure_model(load_model(arguments.out), held_out, arrays, seed=settings.seed)
            add_measures(arguments.out, measures, held_out.data_id)
    return _tell(arguments.out, measures, as_json=arguments.json)


def _how_to_go_on(run: Path, begun: float, *, resumed: bool) -> str:
    """What to do after Ctrl-C; a checkpoint of before is another training's, unless that was resumed."""
    from tiae_ros.model.folder import CHECKPOINT

    checkpoint = run / CHECKPOINT
    if not checkpoint.is_file() or (checkpoint.stat().st_mtime < begun and not resumed):
        return "nothing was saved yet"
    return f"go on with: tiae train --resume --out {shlex.quote(str(run))}"


def _paths_of(saved: str) -> list[Path]:
    """Of a checkpoint; earlier ones hold one path as it is."""
    return [Path(path) for path in (json.loads(saved) if saved.startswith("[") else [saved])]


def run_options(arguments: argparse.Namespace, settings: Any, names: Sequence[str]) -> dict[str, Any]:
    """What config.yaml of a run holds: these options and the settings, by their names without --."""

    from tiae_ros.model.shipped import find_model, is_shipped

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(name, part) for part in value]
        if name in MODELS and value:
            folder = find_model(value)
            return value if is_shipped(folder) else str(folder.resolve())
        return str(value.resolve()) if isinstance(value, Path) else value

    options = {name.replace("_", "-"): plain(name, getattr(arguments, name)) for name in names}
    for field in dataclasses.fields(settings):
        if "flag" in field.metadata:
            options[field.metadata["flag"].removeprefix("--")] = getattr(settings, field.name)
    return {name: value for name, value in options.items() if value not in (None, "")}


def write_config(folder: Path, command: str, options: dict[str, Any]) -> None:
    """Write a run's config.yaml. Raises OutputError."""
    from tiae_ros.model.folder import write_whole

    write_whole(folder / CONFIG, config_text(options, command).encode())


def _tell(out: Path, measures: dict[str, float], *, as_json: bool) -> int:
    """What came of it; 1 for a model that collapsed."""
    from tiae_ros.model.folder import read_manifest
    from tiae_training.train.collapse import why_collapsed
    from tiae_training.train.folder import read_history

    last, manifest = read_history(out)[-1], read_manifest(out)
    if as_json:
        told = {"model": str(out), "model_id": manifest.model_id, "epochs": manifest.training["epochs_done"]}
        print_json({**told, "collapsed": why_collapsed(last) or None, "measures": measures})
    else:
        print(f"model: {out} ({manifest.model_id}, {manifest.training['epochs_done']} epochs)")
        for name, value in measures.items():
            print(f"  {name} {value:.4f}")
    if not why_collapsed(last):
        return 0
    attempts = int(last["attempt"]) + 1
    print(
        f"tiae train: warning: the model collapsed: it restores nearly one picture for every input "
        f"({why_collapsed(last)}; {attempts} initialisation{'s' * (attempts > 1)} tried); train longer, lower "
        "--invariance-weight or --learning-rate, or allow more --restarts",
        file=sys.stderr,
    )
    return 1


def parse_pairs(text: str) -> dict[str, float | str]:
    """``a=1,b=x`` -> {"a": 1.0, "b": "x"}. Raises ParameterError."""
    from tiae_ros.errors import ParameterError

    pairs: dict[str, float | str] = {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ParameterError(f"{item!r} is not NAME=VALUE; accepted is a list like metric_size_m=0.3,range_m=0.3")
        try:
            pairs[name.strip()] = float(value)
        except ValueError:
            pairs[name.strip()] = value.strip()
    return pairs


def _command_line(
    arguments: argparse.Namespace, data: Sequence[Path], settings: TrainingSettings, asked: dict[str, Any]
) -> str:
    """The command that makes this model again, without this machine's folders; also after it was resumed."""
    usual = type(settings)()
    words = ["tiae train", f"--data {' '.join(path.name for path in data)}"]
    if arguments.test:
        words.append(f"--test {arguments.test.name}")
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in asked or value != getattr(usual, field.name):
            flag = field.metadata["flag"]
            words.append(flag if value is True else f"--no-{flag[2:]}" if value is False else f"{flag} {value}")
    words += [f"--start {Path(arguments.start).name}"] if arguments.start else []
    words += ["--half-weights"] if arguments.half_weights else []
    if arguments.preprocessing:
        words.append(f"--preprocessing {arguments.preprocessing}")
    return " ".join([*words, f"--out {arguments.out.name}"])
