"""What a command that takes long says meanwhile, and what it says to programs.

Nobody waits more than two seconds for a word: a command says what it is at as soon as that takes long, and again now
and then. A quick command says nothing, so that its only lines are its result's. Progress goes to the standard error,
results to the standard output; with --json that is one JSON object and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

FIRST_WORD_S = 1.0  # what takes longer is said
AGAIN_S = 10.0
_REDRAW_S = 0.25  # of a count, in a terminal
_COUNT_S = 2.0  # of a count, elsewhere

_Item = TypeVar("_Item")


class Progress:
    """Says, from a thread of its own, what the command is at; `at_work` is told what that is."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._doing = "starting"  # "" while the command speaks for itself
        self._since = self._begun = time.monotonic()
        self._said = self._over = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._thread.start()

    def at_work(self, doing: str) -> None:
        """What it is at from now on."""
        with self._change:
            self._doing, self._said, self._since = doing, False, time.monotonic()
            self._change.notify()

    def end(self) -> None:
        with self._change:
            self._over = True
            self._change.notify()
        self._thread.join(1.0)  # a reader of our standard error may have stopped

    def _watch(self) -> None:
        with self._change:
            while not self._over:
                now = time.monotonic()
                due = self._since + (AGAIN_S if self._said else FIRST_WORD_S)
                if not self._doing or now < due:
                    self._change.wait(due - now if self._doing else None)
                    continue
                spent = f" {now - self._begun:.0f} s" if self._said else ""
                say(f"{self._prefix}: {self._doing} …{spent}")
                self._said, self._since = True, now


_current: Progress | None = None


@contextlib.contextmanager
def progress_of(prefix: str) -> Iterator[None]:
    """While a command runs, say what it is at when that takes long."""
    global _current
    _current = Progress(prefix)
    try:
        yield
    finally:
        _current.end()
        _current = None


def at_work(doing: str) -> None:
    """Say what comes now, should it take long: a few words that go on from "tiae evaluate: "."""
    if _current is not None:
        _current.at_work(doing)


def speaks_for_itself() -> None:
    """No more lines until the next `at_work`: the command prints its own."""
    at_work("")


class Count:
    """A count on the standard error: redrawn in a terminal, else a line now and then."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._of = what, f"/{total}" if total else ""
        self._total = total
        self._began = self._told = time.monotonic()
        self._in_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._drawn = False

    def reached(self, count: int) -> None:
        """So many are done."""
        now = time.monotonic()
        due = now - self._told >= (_REDRAW_S if self._in_terminal else _COUNT_S)
        if not due and not (self._drawn and count == self._total):
            return
        if not self._drawn:
            speaks_for_itself()
        self._told, self._drawn = now, True
        line = f"{count}{self._of} {self._what}, {count / (now - self._began):.1f}/s"
        if self._in_terminal:
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        else:
            say(line)

    def end(self) -> None:
        """Leave the count's line."""
        if self._in_terminal and self._drawn:
            print(file=sys.stderr)


def counted(items: Iterable[_Item], what: str, total: int | None = None) -> Generator[_Item, None, None]:
    """The items, with a count of them."""
    count = Count(what, total)
    iterator = iter(items)
    try:
        for number, item in enumerate(iterator, 1):
            count.reached(number)
            yield item
    finally:
        count.end()
        if hasattr(iterator, "close"):  # ends the workers of a generator
            iterator.close()


def print_json(result: Any) -> None:
    """One JSON object on the standard output; numbers that are not finite are null, since JSON has none."""
    print(json.dumps(_finite(result), allow_nan=False, ensure_ascii=False), flush=True)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``, for programs that read what a command says."""
    parser.add_argument("--json", action="store_true", help="one JSON object on the standard output")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value


def say(line: str) -> None:
    """A line of progress on the standard error, where that is a file.

    It goes past the stream's lock, which a process that is forked meanwhile would keep.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), f"{line}\n".encode(sys.stderr.encoding or "utf-8", "backslashreplace"))
