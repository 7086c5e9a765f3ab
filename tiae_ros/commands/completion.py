"""``tiae completion``: what a shell needs to complete subcommands, options and file names."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELP = "print what makes your shell complete tiae's options"
DESCRIPTION = """Print a script for bash, zsh or tcsh, after which Tab completes subcommands, options, their choices
and file names. It is made of the options as they are, so make it again after an upgrade. fish has no generator.

Making it needs the package shtab (the extra `completion`); using it needs nothing."""
EXAMPLES = """  tiae completion bash > ~/.local/share/bash-completion/completions/tiae
  tiae completion zsh > ~/.zfunc/_tiae        # with fpath=(~/.zfunc $fpath) before compinit in .zshrc"""
SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="whose language")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.errors import MissingExtraError, install_hint

    try:
        import shtab
    except ImportError:
        raise MissingExtraError(f"making a completion needs shtab; install it: {install_hint('completion')}") from None
    parser = nested_parser()
    for action in options_of(parser):
        if takes_a_file(action):
            action.complete = shtab.FILE
    print(shtab.complete(parser, arguments.shell))
    return 0


def nested_parser() -> argparse.ArgumentParser:
    """The options of all subcommands; the second word of one is chosen below the first, as a shell sees words."""
    from tiae_ros.cli import SUBCOMMANDS, add_options
    from tiae_ros.options import OneLineParser

    parser = OneLineParser(prog="tiae")
    parser.add_argument("--version", action="store_true", help="print the release")
    choices = parser.add_subparsers(dest="subcommand")
    for head in dict.fromkeys(name.partition(" ")[0] for name in SUBCOMMANDS):
        tails = [name.partition(" ")[2] for name in SUBCOMMANDS if name.startswith(f"{head} ")]
        command = importlib.import_module(f"tiae_ros.commands.{head}") if head in SUBCOMMANDS else None
        choice = choices.add_parser(head, help=command.HELP if command else ", ".join(tails))
        if command:
            add_options(choice, command)
        below = choice.add_subparsers(dest="second") if tails else None
        for tail in tails:
            command = importlib.import_module(f"tiae_ros.commands.{head}_{tail}")
            assert below is not None
            add_options(below.add_parser(tail, help=command.HELP), command)
    return parser


def options_of(parser: argparse.ArgumentParser) -> Iterator[Any]:
    """Every option of a parser and of those below it."""
    for action in parser._actions:  # argparse has no other door to them
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                yield from options_of(choice)
        else:
            yield action


def takes_a_file(action: argparse.Action) -> bool:
    """Whether a shell is to offer files and folders for it."""
    told = action.metavar if isinstance(action.metavar, str) else ""
    return action.type is Path or any(word in told for word in ("FILE", "DIR", "BAG", "MODEL", ".npz", ".yaml"))
