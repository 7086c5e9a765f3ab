"""Stored messages of one topic, taken by their number while the file is read once, in bounded memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

_MOST_BYTES = 512 * 2**20
_LITTLE_ENDIAN = 1


class _Stored(Protocol):
    @property
    def data(self) -> bytes: ...


M = TypeVar("M", bound=_Stored)


def header_stamp_ns(data: bytes) -> int:
    """The stamp of a stored message (CDR) that begins with a std_msgs/Header; 0 when it is too short for one.

    Reading only these bytes leaves the pixels alone.
    """
    if len(data) < 12:
        return 0
    sec, nanosec = struct.unpack_from("<iI" if data[1] & _LITTLE_ENDIAN else ">iI", data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


class RecordedMessages(Generic[M]):
    """What is asked for later than it was recorded is kept until then, up to a limit; nothing else is."""

    def __init__(self, messages: Iterator[M], wanted: Iterable[int], most_bytes: int = _MOST_BYTES) -> None:
        """wanted: the numbers that will be asked for, counted from 0."""
        self._messages = enumerate(messages)
        self._wanted = set(wanted)
        self._kept: dict[int, M] = {}
        self._bytes = 0
        self._most_bytes = most_bytes

    def take(self, number: int) -> M | None:
        """A message, once; None when it had to be let go, or is not there."""
        if number in self._kept:
            message = self._kept.pop(number)
            self._bytes -= len(message.data)
            return message
        if number not in self._wanted:
            return None
        for at, message in self._messages:
            if at not in self._wanted:
                continue
            self._wanted.discard(at)
            if at == number:
                return message
            self._kept[at] = message
            self._bytes += len(message.data)
            while self._bytes > self._most_bytes:
                oldest = next(iter(self._kept))
                self._bytes -= len(self._kept.pop(oldest).data)
        return None
