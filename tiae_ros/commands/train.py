"""``tiae train``: learn an auto-encoder from an array file."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

HELP = "train an auto-encoder on FILE.npz"
DESCRIPTION = """Train a (transform-invariant) auto-encoder on the windows of FILE.npz; no labels are needed.

Progress is saved every minute into the output folder: an interrupted training goes on with --resume, and
the same seed gives the same model on one kind of CPU. With --test the model is measured when it is done.
A training that collapses (one restored picture for every input) starts again from another initialisation,
--restarts times; if it ends collapsed it says so and the exit code is 1.

By several processes, each with its share of every batch, with the same result as by one:
`torchrun --nproc-per-node N -m tiae_training` takes the same options."""
EXAMPLES = """  tiae train --data digits.npz --transforms shift --out runs/digits
  tiae train --data digits.npz --test held_out.npz --out runs/digits --epochs 100 --seed 3
  tiae train --data digits.npz --transforms none --out runs/ordinary       # an ordinary auto-encoder
  tiae train --data digits.npz --transforms shift,rotation,scale,background --out runs/posed
  tiae train --resume --out runs/digits                                    # after an interruption
  tiae train --data digits.npz --out runs/digits --epochs 200 --validation-fraction 0.1 --patience 60"""

# flag, setting, type, help
_SETTINGS: tuple[tuple[str, str, type, str], ...] = (
    (
        "--transforms",
        "transforms",
        str,
        "list of shift, rotation, scale, background, clutter, blur, gain; or none",
    ),
    ("--shift-radius", "shift_radius_px", int, "largest shift in pixels"),
    ("--rotation", "rotation_deg", float, "largest angle in degrees, both ways"),
    ("--scale", "scale_factor", float, "largest scale; the smallest is its inverse"),
    ("--clutter", "clutter_px", int, "side of the fragments of other windows in pixels"),
    ("--blur", "blur_px", float, "largest standard deviation of blur in pixels"),
    ("--gain", "gain_factor", float, "largest gain; the smallest is its inverse"),
    (
        "--network",
        "network",
        str,
        "voting-half, voting-surface, voting-relief, voting-pose, still, slide-cnn or slide-fc",
    ),
    ("--descriptor-size", "descriptor_size", int, "numbers in a descriptor"),
    ("--epochs", "epochs", int, "passes over the data"),
    ("--batch-size", "batch_size", int, "windows per step"),
    ("--learning-rate", "learning_rate", float, "peak of the one-cycle schedule"),
    ("--invariance-weight", "invariance_weight", float, "λ_inv"),
    ("--restoration-weight", "restoration_weight", float, "λ_res"),
    ("--sparseness-weight", "sparseness_weight", float, "λ_spa"),
    (
        "--whole-targets",
        "whole_targets",
        bool,
        "hold what is restored against the whole windows of FILE.npz, not against what the window's edge left of them "
        "when they were shifted",
    ),
    ("--surface-weight", "surface_weight", float, "weight of depth's errors where there is a surface"),
    ("--overlap-weight", "overlap_weight", float, "weight of the masks' intersection over union"),
    ("--regression-weight", "regression_weight", float, "weight of the shift regressor's loss"),
    (
        "--channel-weights",
        "channel_weights",
        str,
        "of squared errors: object_mask=4,depth=4 (else 1)",
    ),
    ("--gathering-weight", "gathering_weight", float, "λ_gat: how much similar shapes' descriptors are drawn together"),
    ("--gathering-temperature", "gathering_temperature", float, "of that term"),
    ("--deformation", "deformation", float, "strength of the small deformations patterns are shown under; 0: none"),
    ("--seed", "seed", int, "decides weights, order and shifts"),
    ("--precision", "precision", str, "auto, float32, bfloat16, or on GPUs float16"),
    ("--validation-fraction", "validation_fraction", float, "share of the windows to watch the objective on"),
    (
        "--patience",
        "patience",
        int,
        "stop after so many epochs without a better objective, and keep the best weights; 0 is never. The rate's "
        "schedule spans --epochs, and most is gained at its end: give at least a quarter of --epochs",
    ),
    ("--restarts", "restarts", int, "other initialisations to try when training collapses"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="FILE.npz", help="windows to learn from: images (N, C, H, W)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the model")
    parser.add_argument("--start", metavar="MODEL", help="go on from this model: a folder, or a shipped one's name")
    parser.add_argument("--test", type=Path, metavar="FILE.npz", help="held-out windows to measure the model on")
    for flag, name, kind, text in _SETTINGS:
        takes: dict[str, Any] = {"action": "store_const", "const": True} if kind is bool else {"type": kind}
        parser.add_argument(flag, dest=name, default=None, help=f"{text} (default: see --show-defaults)", **takes)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--model-id", default="", help="name in the manifest (default: the folder's)")
    parser.add_argument(
        "--preprocessing",
        default="",
        metavar="K=V,…",
        help="how frames become these windows, kept in the manifest, e.g. metric_size_m=0.3,range_m=0.3 (default: "
        "what `tiae extract` has put into --data)",
    )
    parser.add_argument(
        "--half-weights",
        action="store_true",
        help="round the weights in the end so that the file is half as large; measures are of the rounded ones",
    )
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=1.0,
        metavar="K",
        help="what a kill at any moment may cost: minutes between saves (default: 1; 0: save after every step)",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue the unfinished training in --out")
    again.add_argument("--overwrite", action="store_true", help="replace what is in --out")
    parser.add_argument("--show-defaults", action=_ShowDefaults, nargs=0, help="print the default settings and exit")


class _ShowDefaults(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from tiae_training.settings import TrainingSettings

        for name, value in TrainingSettings().to_dict().items():
            print(f"{name} = {value}")
        parser.exit()


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.errors import ParameterError
    from tiae_training.distributed import joined

    if not arguments.checkpoint_minutes >= 0:
        raise ParameterError(f"--checkpoint-minutes is {arguments.checkpoint_minutes}; accepted is 0 or more")
    with joined(arguments.device) as device:
        return _train(arguments, device)


def _train(arguments: argparse.Namespace, device: torch.device) -> int:
    """All of it on one device; where several processes train together, the first one writes and prints."""
    from tiae_ros.core.model_files import load_model
    from tiae_ros.core.processes import process_rank
    from tiae_ros.errors import MissingExtraError, ParameterError
    from tiae_training import train as training
    from tiae_training.arrays import load_arrays
    from tiae_training.collapse import why_collapsed
    from tiae_training.distributed import wait_for_all
    from tiae_training.measures import measure_model
    from tiae_training.settings import TrainingSettings

    try:
        from tqdm import tqdm
    except ImportError:
        raise MissingExtraError("tiae train needs tqdm; install it: pip install 'tiae_ros[train]'") from None

    first = process_rank() == 0
    asked = {name: getattr(arguments, name) for _, name, *_ in _SETTINGS if getattr(arguments, name) is not None}
    preprocessing = parse_pairs(arguments.preprocessing)
    data_path = arguments.data
    if arguments.resume and arguments.start:
        raise ParameterError(f"--start {arguments.start} with --resume; what is resumed goes on from its checkpoint")
    if arguments.resume:
        settings, saved_path = training.resumed_settings(arguments.out, asked)
        data_path = data_path or Path(saved_path)
    else:
        settings = TrainingSettings(**asked)
    if data_path is None:
        raise ParameterError("--data is missing; give an .npz file with images (N, C, H, W)")
    arrays = load_arrays(data_path, at_least=training.SMALLEST_DATA)
    training.check_trainable(arrays)
    training.autocast_type(settings.precision, device)
    held_out = load_arrays(arguments.test) if arguments.test else None
    if held_out is not None and held_out.images.shape[1:] != arrays.images.shape[1:]:
        raise ParameterError(
            f"--test holds windows {held_out.images.shape[1:]}, --data {arrays.images.shape[1:]}; they must be alike"
        )
    start = load_model(arguments.start) if arguments.start else None
    training.set_threads()
    with contextlib.ExitStack() as held:
        if first:
            training.prepare_run(arguments.out, resume=arguments.resume, overwrite=arguments.overwrite)
            held.enter_context(training.only_one_training(arguments.out))
        wait_for_all()
        bar = held.enter_context(
            tqdm(total=settings.epochs, unit="epoch", disable=None if first else True, file=sys.stderr)
        )

        def report(epoch: int, terms: dict[str, float]) -> None:
            bar.n = epoch + 1
            bar.set_postfix({n: f"{terms[n]:.3g}" for n in ("restoration", "invariance")}, refresh=True)

        def announce(line: str) -> None:
            if first:
                bar.write(f"tiae train: {line}", file=sys.stderr)

        model = training.train(
            arrays,
            settings,
            arguments.out,
            data_path=str(data_path.resolve()),
            device=device,
            resume=arguments.resume,
            preprocessing={**arrays.preprocessing, **preprocessing},
            model_id=arguments.model_id,
            command=_command_line(arguments, data_path, settings.to_dict(), asked),
            checkpoint_minutes=arguments.checkpoint_minutes,
            half_weights=arguments.half_weights,
            start=start,
            report=report,
            announce=announce,
        )
        bar.close()
        if not first:
            return 0
        measures: dict[str, float] = {}
        if held_out is not None:
            measures = measure_model(model, held_out, arrays, seed=settings.seed)
            training.add_measures(model, arguments.out, measures, held_out.data_id)
    last = training.read_history(arguments.out)[-1]
    print(f"model: {arguments.out} ({model.manifest.model_id}, {model.manifest.training['epochs_done']} epochs)")
    for name, value in measures.items():
        print(f"  {name} {value:.4f}")
    if why_collapsed(last):
        attempts = int(last["attempt"]) + 1
        print(
            f"tiae train: warning: the model collapsed: it restores nearly one picture for every input "
            f"({why_collapsed(last)}; {attempts} initialisation{'s' * (attempts > 1)} tried); train longer, lower "
            "--invariance-weight or --learning-rate, or allow more --restarts",
            file=sys.stderr,
        )
        return 1
    return 0


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


def _command_line(arguments: argparse.Namespace, data: Path, settings: dict[str, Any], asked: dict[str, Any]) -> str:
    """The command that makes this model again, without this machine's folders; also after it was resumed."""
    from tiae_training.settings import TrainingSettings

    usual = TrainingSettings().to_dict()
    words = ["tiae train", f"--data {data.name}"]
    if arguments.test:
        words.append(f"--test {arguments.test.name}")
    chosen = [(flag, name, kind) for flag, name, kind, _ in _SETTINGS if name in asked or settings[name] != usual[name]]
    words += [flag if kind is bool else f"{flag} {settings[name]}" for flag, name, kind in chosen]
    words += [f"--start {Path(arguments.start).name}"] if arguments.start else []
    words += ["--half-weights"] if arguments.half_weights else []
    if arguments.preprocessing:
        words.append(f"--preprocessing {arguments.preprocessing}")
    return " ".join([*words, f"--out {arguments.out.name}"])
