"""``tiae``: one command, a subcommand for each thing a person does with the package.

A subcommand is a module of ``tiae_ros.commands`` with ``HELP``, ``DESCRIPTION``, ``EXAMPLES``,
``add_arguments(parser)`` and ``run(arguments)``. Nothing heavy is imported before one is chosen. A subcommand of two
words, such as ``train segmentation``, is the module of both words.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from tiae_ros import __version__
from tiae_ros.errors import TiaeError, install_hint
from tiae_ros.options import DefaultsInHelp, OneLineParser

SUBCOMMANDS = (
    "train",
    "train segmentation",
    "train detector",
    "train hand_pose",
    "evaluate",
    "name",
    "restore",
    "info",
    "export",
    "recipe",
    "explore",
    "predict",
    "extract",
    "simulate",
    "simulate hands",
    "simulate people",
    "simulate windows",
    "imitate fit",
    "imitate run",
    "imitate hands",
    "imitate robot",
    "demo imitate",
    "play",
    "node",
    "view",
    "completion",
)

OF_TRAINING = ("torch", "safetensors", "onnx", "onnxscript", "tqdm")  # what a robot does not have


def build_parser(chosen: str = "", *, options: bool = True) -> argparse.ArgumentParser:
    """The parser of ``tiae`` with the arguments of the chosen subcommand, or of all; or with none, for its own help."""
    parser = OneLineParser(
        prog="tiae",
        description="Transform-invariant auto-encoders for grasp perception: train, inspect, run.",
        epilog="`tiae SUBCOMMAND --help` has examples. Tab completes after `tiae completion bash` (or zsh).",
    )
    parser.add_argument("--version", action="version", version=f"tiae_ros {__version__}")
    choices = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name in [chosen] if chosen else SUBCOMMANDS:
        command = importlib.import_module(f"tiae_ros.commands.{name.replace(' ', '_')}")
        choice = choices.add_parser(name, help=command.HELP)
        if options:
            add_options(choice, command)
            choice.set_defaults(run=command.run)
    return parser


def add_options(parser: argparse.ArgumentParser, command: ModuleType) -> None:
    """A subcommand's description, examples and options."""
    parser.description, parser.epilog = command.DESCRIPTION, f"examples:\n{command.EXAMPLES}"
    parser.formatter_class = DefaultsInHelp
    command.add_arguments(parser)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``tiae``; returns the exit code (0 done, 1 checked and failed, 2 a user's error, 130 interrupted)."""
    take_any_letter()
    words = list(sys.argv[1:] if arguments is None else arguments)
    ros_words: list[str] = []
    if words[:1] == ["node"] and not {"-h", "--help"} & set(words[1:2]):
        # Everything after `tiae node` belongs to ROS (`--ros-args -p name:=value ...`), not to argparse.
        words, ros_words = words[:1], words[1:]
    if " ".join(words[:2]) in SUBCOMMANDS:
        words[:2] = [" ".join(words[:2])]
    known = bool(words) and words[0] in SUBCOMMANDS
    parsed = build_parser(words[0] if known else "", options=known).parse_args(words)
    parsed.ros_arguments = ros_words
    if parsed.subcommand not in ("node", "play", "view"):  # these have their own way with signals
        let_sigterm_clean_up()
    try:
        if parsed.subcommand in ("node", "play", "view", "imitate robot"):  # they speak at once
            return int(parsed.run(parsed))
        from tiae_ros.commands.progress import progress_of

        with progress_of(f"tiae {parsed.subcommand}"):
            return int(parsed.run(parsed))
    except TiaeError as error:
        print(f"tiae {parsed.subcommand}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OF_TRAINING:
            raise
        needs = f"needs {package}; install the extra `train`: {install_hint('train')}"
        print(f"tiae {parsed.subcommand}: error: this {needs}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        if "temporary directory" not in str(error):  # as tempfile puts it
            raise
        print(f"tiae {parsed.subcommand}: error: {error.strerror}; set TMPDIR to a folder to write to", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        advice = f"; {interrupt}" if str(interrupt) else ""  # how to go on
        print(f"tiae {parsed.subcommand}: interrupted{advice}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has left; stdout must not be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def take_any_letter() -> None:
    """Write what the output's encoding lacks (PYTHONIOENCODING=ascii, file names of no encoding) as \\u2026."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def let_sigterm_clean_up() -> None:
    """End by an exception, so that what is half-written is taken away, as Ctrl-C does."""

    def end(*_: object) -> NoReturn:
        sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    sys.exit(main())
