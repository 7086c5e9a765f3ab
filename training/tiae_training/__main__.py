"""``python -m tiae_training`` is ``tiae train``, in a form that torchrun can start several of.

    torchrun --nproc-per-node 2 -m tiae_training --data digits.npz --out runs/digits
    torchrun --nproc-per-node 8 -m tiae_training --data digits.npz --out runs/digits --device cuda --batch-size 1024

The options are those of ``tiae train``; --batch-size counts the windows of all processes together, and the result is
that of one process to rounding. Only the first process writes. When one ends with an error, that error is said in one
line, and all end.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from tiae_ros.cli import let_sigterm_clean_up
from tiae_ros.commands import train
from tiae_ros.errors import TiaeError
from tiae_ros.options import DefaultsInHelp, OneLineParser

NAME = "python -m tiae_training"


def main(
    words: Sequence[str] | None = None, *, name: str = NAME, command: ModuleType = train, text: str | None = __doc__
) -> int:
    """Run one of the processes; returns its exit code, as `tiae train` does (or another command of its form)."""
    parser = OneLineParser(prog=name, description=text, formatter_class=DefaultsInHelp)
    command.add_arguments(parser)
    is_first = os.environ.get("RANK", "0") == "0"
    with contextlib.nullcontext() if is_first else contextlib.redirect_stderr(None):  # all would say the same
        arguments = parser.parse_args(words)
    from tiae_training.train.distributed import say_once

    let_sigterm_clean_up()
    try:
        return int(command.run(arguments))
    except TiaeError as error:
        say_once(f"{name}: error: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        say_once(f"{name}: interrupted")
        return 130


def leave(code: int) -> None:
    """End this process with a code, though a peer be gone."""
    if code and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Taking down what talks to it aborts now and then (exit code -6) instead of ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
