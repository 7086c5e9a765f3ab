"""``tiae train hand_pose``: learn joint angles and fingertips of the hand in an auto-encoder's windows."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.commands.progress import add_json, at_work, print_json
from tiae_ros.commands.train import add_settings, asked_settings, run_options, write_config
from tiae_ros.errors import OutputError, ParameterError
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL
from tiae_ros.options import add_config

if TYPE_CHECKING:
    from tiae_ros.model.autoencoder import Autoencoder
    from tiae_ros.model.manifest import Manifest
    from tiae_training.imitation.false_windows import NoHands
    from tiae_training.imitation.networks import HandPoseNetwork
    from tiae_training.imitation.settings import HandPoseTraining

HELP = "train what tells the joints of the hand in a window"
DESCRIPTION = """Train a hand pose model for the windows and descriptors of one auto-encoder (--model), on windows with
joint angles from `tiae simulate hands`, or with --details from `tiae simulate windows` and `tiae simulate`.

It runs on the CPU. Some people of --data are kept apart: by them it is measured how far off estimates are, and from
where on a window is unlike any hand. Beside drawn windows of no hand, those that the detector finds in real rooms
without one (--empty) teach it what is none; --test-empty are other such rooms, to measure that by.

--average makes the mean of models that began from one another, without training: it keeps most of what the first knew
and the second learnt. By the people of --data that are kept apart its spread is measured: give --data and --seed of the
last one's training, or people that none learnt from."""
EXAMPLES = """  tiae simulate hands --out hands.npz --count 40000
  tiae simulate hands --out hands_test.npz --count 1500 --seed 2 --people 90000:100000 --things 90000:100000
  tiae train hand_pose --data hands.npz --model hands --test hands_test.npz --out runs/hand_pose
  tiae train hand_pose --data hands.npz desk.npz --model runs/hands --epochs 20 --out runs/hand_pose
  tiae train hand_pose --data hands.npz --model hands --start hand_pose --learning-rate 0.001 --out runs/more
  tiae train hand_pose --data hands.npz --model hands --average hand_pose runs/more --out runs/mean"""


KEPT = (  # in config.yaml, beside the settings
    "data", "model", "start", "start_model", "average", "test", "held_out", "empty", "empty_pattern", "test_empty",
    "test_empty_pattern", "segmentation",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tiae_training.imitation.settings import HandPoseTraining

    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE.npz", help="windows with joints")
    parser.add_argument("--model", required=True, metavar="DIR", help="the auto-encoder: a folder or a shipped name")
    parser.add_argument(
        "--start", metavar="DIR", help="a hand pose model to go on from, of --model or of another like it"
    )
    parser.add_argument(
        "--start-model",
        metavar="DIR",
        help="the auto-encoder of --start, where --model is another: its descriptors are told from the new ones",
    )
    parser.add_argument("--average", nargs="+", metavar="DIR", help="models whose mean it is to be, without training")
    parser.add_argument(
        "--test", type=Path, nargs="+", metavar="FILE.npz", help="windows of other people, to measure by"
    )
    parser.add_argument("--held-out", default="", metavar="NAMES", help="grasps to learn nothing of, by commas")
    for flag, text in (("--empty", "real rooms without a hand: NAME_color.jpg (png) beside NAME_depth_mm.png"),
                       ("--test-empty", "other such rooms, to measure by")):  # fmt: skip
        parser.add_argument(flag, type=Path, metavar="DIR", help=text)
        parser.add_argument(f"{flag}-pattern", default="*_color.*", metavar="GLOB", help="which of them (*_color.*)")
    parser.add_argument(
        "--segmentation",
        nargs="+",
        default=[DEFAULT_SEGMENTATION_MODEL],
        metavar="MODEL",
        help="what is wrong in them (detector)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    add_settings(parser, HandPoseTraining())
    add_config(parser)
    add_json(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.hand_pose import AUTOENCODER_ID, ENCODER_SHA256, belongs, load_hand_pose
    from tiae_training.data.arrays import refuse_existing
    from tiae_training.imitation.evaluation import evaluate_hand_pose
    from tiae_training.imitation.folder import hand_pose_manifest, load_hand_pose_network, save_hand_pose, with_measures
    from tiae_training.imitation.rows import WITH_DEPTH, check_details, load_hand_rows
    from tiae_training.imitation.settings import HandPoseTraining
    from tiae_training.imitation.spread import calibrate
    from tiae_training.imitation.training import read_like_before, take_descriptor_units, train_hand_pose
    from tiae_training.mean_weights import mean_weights, origins
    from tiae_training.model import load_network
    from tiae_training.simulator.grasps import BY_NAME
    from tiae_training.train.precision import set_threads

    settings = HandPoseTraining(**asked_settings(arguments, HandPoseTraining()))
    held_out = [name for name in arguments.held_out.split(",") if name]
    if unknown := sorted(set(held_out) - set(BY_NAME)):
        raise ParameterError(f"--held-out names {', '.join(unknown)}; accepted are {', '.join(BY_NAME)}")
    averaged: list[str] = arguments.average or []
    if len(averaged) == 1:
        raise ParameterError(f"--average has one model, {averaged[0]}; needed are two or more")
    if averaged and arguments.start:
        raise ParameterError("--average and --start were given; accepted is one of them: a mean is not trained")
    if averaged and arguments.start_model:
        raise ParameterError(
            "--average and --start-model were given; accepted is one of them: the parts are of one model"
        )
    if arguments.start_model and not arguments.start:
        raise ParameterError(f"--start-model is {arguments.start_model} without --start; accepted are both, or neither")
    if not settings.epochs and not arguments.start and not averaged:
        raise ParameterError("epochs is 0 without --start; accepted is 1 or more, or a model to start from")
    if averaged:  # the mean sees what its parts see
        parts_of_first = load_hand_pose_network(averaged[0])[0].parts()
        settings = dataclasses.replace(settings, sees=parts_of_first["sees"], hidden=parts_of_first["hidden"])
    out: Path = arguments.out
    if out.is_file():
        raise OutputError(f"{out} is a file; --out takes a folder")
    refuse_existing(out, overwrite=arguments.overwrite)
    set_threads()
    network_of_windows, autoencoder = load_network(arguments.model), load_model(arguments.model, threads=1)
    of = autoencoder.manifest
    rows = load_hand_rows(arguments.data, of)
    rows = rows.take(~np.isin(rows.kinds, held_out))
    test = load_hand_rows(arguments.test, of) if arguments.test else None
    start, started = _read_like(arguments.start, settings, of) if arguments.start else (None, None)
    parts = _parts_of_mean(averaged, settings, autoencoder)
    if settings.sees == "detail":
        for some in [rows] if test is None else [rows, test]:
            check_details(some, of)
    if settings.agreement_weight and of.channels != WITH_DEPTH:
        raise ParameterError(
            f"--agreement-weight is {settings.agreement_weight:g}, but {of.model_id} sees {', '.join(of.channels)}; "
            f"labels are made to flicker of {', '.join(WITH_DEPTH)} alone: leave it out"
        )
    if arguments.start_model and started is not None and belongs(started, of):
        raise ParameterError(
            f"--start-model is {arguments.start_model}, but --start was trained on --model itself; leave it out"
        )
    if not settings.epochs and started is not None and not belongs(started, of) and not arguments.start_model:
        raise ParameterError(
            "epochs is 0, and --start was trained on another auto-encoder than --model; give that as --start-model, or "
            "let it learn to read the new one: --epochs 2"
        )
    learnt, apart = rows.apart(settings.calibration_share, settings.seed)
    if start is not None and started is not None and not belongs(started, of):
        of_another = started.preprocessing.get(AUTOENCODER_ID)
        print(
            f"tiae train hand_pose: --start is of the auto-encoder {of_another}; it learns to read that of --model, "
            f"{of.model_id}",
            file=sys.stderr,
        )
        if arguments.start_model:
            before = load_network(arguments.start_model)
            if not belongs(started, before.manifest):
                raise ParameterError(
                    f"--start-model {arguments.start_model} is {before.manifest.model_id}, but --start was trained on "
                    f"another {of_another}; give that one, or leave it out and train two or three passes"
                )
            told = read_like_before(start, before, network_of_windows, learnt, settings)
            print(f"tiae train hand_pose: {told:.1%} of the old descriptors' variance is told", file=sys.stderr)
        else:
            take_descriptor_units(start, network_of_windows, learnt, settings.seed)
    said = sys.stderr if arguments.json else sys.stdout  # what it says on the way is for people
    if parts:
        network = parts[0][0]
        network.load_state_dict(mean_weights([part for part, _ in parts]))
    else:
        others = _false_windows(arguments.empty, arguments.empty_pattern, arguments.segmentation, of)
        with contextlib.redirect_stdout(said):
            network = train_hand_pose(network_of_windows, learnt, others, settings, start=start)
    at_work("measuring how far off it is")
    novelty_max = calibrate(network, network_of_windows, apart, settings.shift_radius_px, settings.seed)
    training: dict[str, Any] = {"command": _command_line(arguments, settings)}
    if parts:
        training["calibration"] = f"{len(rows)} windows of {rows.data_id}"
    else:
        training |= {"data": rows.data_id, "windows": len(rows), "settings": dataclasses.asdict(settings)}
    if started is not None:
        whose = {name: started.preprocessing.get(name) for name in (AUTOENCODER_ID, ENCODER_SHA256)}
        training["started from"] = {**started.training, **whose}
    training |= origins(averaged, [part.training for _, part in parts])
    manifest = hand_pose_manifest(network, of, novelty_max, model_id=out.name, training=training)
    save_hand_pose(network, out, manifest)
    write_config(out, "tiae train hand_pose", run_options(arguments, settings, KEPT))
    measures: dict[str, float] = {}
    if test is not None:
        at_work("measuring")
        elsewhere = _false_windows(arguments.test_empty, arguments.test_empty_pattern, arguments.segmentation, of)
        pose = load_hand_pose(out)
        measures = evaluate_hand_pose(
            pose, autoencoder, test, elsewhere, held_out=held_out, radius_px=settings.shift_radius_px
        )
        with_measures(out, measures)
    if arguments.json:
        print_json({"model": str(out), "measures": measures})
    else:
        for name, value in measures.items():
            print(f"  {name:28s} {value:.4f}")
        print(f"{out}: written")
    return 0


def _parts_of_mean(
    folders: list[str], settings: HandPoseTraining, autoencoder: Autoencoder
) -> list[tuple[HandPoseNetwork, Manifest]]:
    """Models of one auto-encoder that began from one another. Raises ModelError, or ParameterError for others."""
    from tiae_ros.model.hand_pose import check_belongs, load_hand_pose
    from tiae_training.card import commands_of

    parts = [_read_like(folder, settings, autoencoder.manifest, "--average") for folder in folders]
    for folder, (_, manifest) in zip(folders, parts, strict=True):
        check_belongs(load_hand_pose(folder), autoencoder)
        if not set(commands_of(manifest.training)) & set(commands_of(parts[0][1].training)):
            raise ParameterError(
                f"--average has {folders[0]} and {folder}, of which none began from the other, nor both from a third: "
                f"the mean of their weights is of no use; train one with --start {folders[0]}"
            )
    return parts


def _read_like(
    folder: str, settings: HandPoseTraining, of: Manifest, flag: str = "--start"
) -> tuple[HandPoseNetwork, Manifest]:
    """What is gone on from, of this auto-encoder or of another one with windows and descriptors of the same sizes.

    Raises ModelError, or ParameterError where sizes are others, or the settings ask for another network.
    """
    from tiae_ros.model.hand_pose import load_hand_pose
    from tiae_training.imitation.folder import load_hand_pose_network

    load_hand_pose(folder)  # says what to do where it is of an earlier version
    network, manifest = load_hand_pose_network(folder)
    own, other = (
        {
            **{name: getattr(one, name) for name in ("channels", "window_size", "descriptor_size")},
            **{name: one.preprocessing.get(name) for name in ("metric_size_m", "range_m")},
        }
        for one in (manifest, of)
    )
    for name, value in other.items():
        if own[name] != value:
            raise ParameterError(
                f"{flag} {folder} has {name} {own[name]}, but that of --model is {value}; give one for windows "
                "like those"
            )
    parts = network.parts()
    for name in ("sees", "hidden"):
        if (asked := getattr(settings, name)) != parts[name]:
            raise ParameterError(f"--{name} is {asked}, but that of {flag} {folder} is {parts[name]}")
    network.joint_factor.fill_(1.0)  # they are measured anew
    network.tip_factor.fill_(1.0)
    return network, manifest


def _false_windows(rooms: Path | None, pattern: str, models: list[str], of: Manifest) -> NoHands:
    from tiae_ros.model.segmenter import choose_segmentation
    from tiae_training.detection.prepare import real_frames
    from tiae_training.imitation.false_windows import false_windows

    frames = list(real_frames(rooms, pattern)) if rooms else []
    finders = [choose_segmentation("network", model) for model in models] if frames else []
    return false_windows(frames, finders, of)


def _command_line(arguments: argparse.Namespace, settings: object) -> str:
    """The command that makes this model again, without this machine's folders."""
    words = [f"tiae train hand_pose --data {' '.join(path.name for path in arguments.data)}"]
    words += [f"--model {Path(arguments.model).name}"]
    words += [f"--start {Path(arguments.start).name}"] if arguments.start else []
    words += [f"--start-model {Path(arguments.start_model).name}"] if arguments.start_model else []
    words += ["--average " + " ".join(Path(folder).name for folder in arguments.average)] if arguments.average else []
    words += ["--test " + " ".join(path.name for path in arguments.test)] if arguments.test else []
    words += [f"--held-out {arguments.held_out}"] if arguments.held_out else []
    for flag in ("empty", "test_empty"):
        if folder := getattr(arguments, flag):
            name = flag.replace("_", "-")
            words.append(f"--{name} {folder.name} --{name}-pattern '{getattr(arguments, f'{flag}_pattern')}'")
    if arguments.segmentation != [DEFAULT_SEGMENTATION_MODEL]:
        words.append(f"--segmentation {' '.join(arguments.segmentation)}")
    usual = type(settings)()
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        if getattr(settings, field.name) != getattr(usual, field.name):
            words.append(f"{field.metadata['flag']} {getattr(settings, field.name)}")
    return " ".join([*words, f"--out {arguments.out.name}"])
