"""What the files of a bag hold, of whatever kind they are (`mcap_file`, `sqlite_file`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

CDR = "cdr"
OnDamage = Callable[[str], None]
"""Told of each part that is left out: where it is and what is wrong with it."""


@dataclass(frozen=True)
class StoredTopic:
    """One topic of one file."""

    name: str
    type: str
    serialization: str
    count: int
    qos: str
    """The profiles offered while it was recorded, as rosbag2 writes them (YAML); "" when unknown."""


@dataclass(frozen=True)
class RawMessage:
    """One message as it was stored."""

    topic: str
    type: str
    time_ns: int
    data: bytes


class StoredFile(Protocol):
    """An open file of a bag."""

    topics: list[StoredTopic]
    start_ns: int
    end_ns: int

    def messages(self, topics: Collection[str], on_damage: OnDamage) -> Iterator[RawMessage]:
        """The messages of these topics in order of recording."""

    def close(self) -> None:
        """Let go of the file."""


def printable(name: str) -> str:
    """A name out of a file, as it may stand in a line for people."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
