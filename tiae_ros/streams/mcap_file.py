"""Reading one .mcap file (https://mcap.dev/spec): what is damaged costs itself alone, what is hostile is refused.

Definitions of message types are not read: only known types are ever decoded, so a definition that is absent, unknown
(IDL) or damaged costs nothing.
"""

from __future__ import annotations

import heapq
import struct
from binascii import crc32
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tiae_ros.errors import BagError
from tiae_ros.streams.expansion import RECORD_COST_BYTES, Budget, expand, expand_message
from tiae_ros.streams.stored import OnDamage, RawMessage, StoredTopic, printable

_MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _CHUNK_INDEX, _STATISTICS = 1, 2, 3, 4, 5, 6, 8, 11
_RECORD_START = struct.Struct("<BQ")  # kind, length
_MESSAGE_START = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_START = struct.Struct("<QQQI")  # first time, last time, size, checksum
_STATISTICS_START = struct.Struct("<QHIIIIQQ")
_FOOTER_BYTES = _RECORD_START.size + 20
_MOST_WAITING_BYTES = 2**29  # messages of chunks that overlap in time


class _Channel(NamedTuple):
    topic: str
    schema: int
    encoding: str
    qos: str


class _Chunk(NamedTuple):
    start_ns: int
    at: int  # of its record, in the file
    channels: frozenset[int] | None  # None: not known


class _Fields:
    """The fields of a record, one after the other; ValueError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.take(layout.size))

    def number(self, code: str) -> int:
        return self.unpack(struct.Struct(f"<{code}"))[0]

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise ValueError(f"it ends after {len(self._data)} bytes, within a field of {size}")
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        return self.take(self.number("I")).decode()

    def texts(self) -> dict[str, str]:
        """A map of texts."""
        inside = _Fields(self.take(self.number("I")))
        found = {}
        while inside.left():
            key = inside.text()
            found[key] = inside.text()
        return found

    def left(self) -> int:
        return len(self._data) - self._at


class McapFile:
    """An open .mcap file.

    Raises:
        BagError: it is no .mcap file, or has no end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, _Channel] = {}
        self._counts: Mapping[int, int] = {}
        self._chunks: list[_Chunk] = []
        self.start_ns = self.end_ns = 0
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self.topics = [
            StoredTopic(c.topic, self._schemas.get(c.schema, ""), c.encoding, self._counts.get(number, 0), c.qos)
            for number, c in self._channels.items()
        ]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def messages(self, topics: Collection[str], on_damage: OnDamage) -> Iterator[RawMessage]:
        """The messages of these topics in order of recording; chunks that are damaged are left out.

        Raises:
            BagError: the file expands without end.
        """
        wanted = {number for number, channel in self._channels.items() if channel.topic in topics}
        budget = Budget(str(self._path), self._size)
        records = self._by_time(wanted, budget, on_damage) if self._chunks else self._as_stored(budget, on_damage)
        for time_ns, number, data in records:
            if number not in wanted:
                continue
            channel = self._channels[number]
            try:
                whole = expand_message(data, budget, f"a message of {channel.topic} in bag file {self._path}")
            except ValueError as error:
                on_damage(f"a message of {channel.topic}: {error}")
                continue
            yield RawMessage(channel.topic, self._schemas.get(channel.schema, ""), time_ns, whole)

    def _open(self) -> None:
        if not self._size:
            raise BagError(f"bag file {self._path} cannot be read: it is empty (0 bytes)")
        if self._read(0, len(_MAGIC)) != _MAGIC:
            raise BagError(f"bag file {self._path} is no mcap file, or its beginning is damaged")
        footer_at = self._size - _FOOTER_BYTES - len(_MAGIC)
        footer = self._read(max(0, footer_at), self._size)
        if footer_at < len(_MAGIC) or footer[-len(_MAGIC) :] != _MAGIC or footer[:9] != _RECORD_START.pack(_FOOTER, 20):
            raise BagError(
                f"bag file {self._path} is truncated: it has no footer, so its recorder was killed or the disk was "
                f"full; save what is in it with: mcap recover {self._path} -o recovered.mcap"
            )
        self._data_end = footer_at
        summary_at = struct.unpack_from("<Q", footer, _RECORD_START.size)[0]
        try:
            known = len(_MAGIC) <= summary_at <= footer_at and self._read_summary(summary_at, footer_at)
        except (ValueError, struct.error):
            known = False
        if not known:  # no summary, or a damaged one: the messages themselves tell
            self._scan()

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)

    def _read_summary(self, start: int, end: int) -> bool:
        """Whether it tells all that is needed."""
        counts: dict[int, int] | None = None
        for kind, data in _records(self._read(start, end)):
            self._note(kind, data)
            if kind == _CHUNK_INDEX:
                fields = _Fields(data)
                first_ns, _, at, _ = fields.unpack(struct.Struct("<QQQQ"))
                offsets = fields.take(fields.number("I"))
                channels = frozenset(number for number, _ in struct.iter_unpack("<HQ", offsets))
                self._chunks.append(_Chunk(first_ns, at, channels or None))
            elif kind == _STATISTICS:
                fields = _Fields(data)
                *_, self.start_ns, self.end_ns = fields.unpack(_STATISTICS_START)
                counts = dict(struct.iter_unpack("<HQ", fields.take(fields.number("I"))))
        self._counts = counts or {}
        return counts is not None and self._counts.keys() <= self._channels.keys()

    def _scan(self) -> None:
        """Channels, counts and times by going through all of it."""
        for told in (self._chunks, self._schemas, self._channels):
            told.clear()  # by a summary that is not to be believed
        counts: Counter[int] = Counter()
        times: list[int] = []
        for time_ns, number, _ in self._as_stored(Budget(str(self._path), self._size), lambda _: None):
            counts[number] += 1
            times = [min([*times[:1], time_ns]), max([*times[1:], time_ns])]
        self._counts = counts
        self.start_ns, self.end_ns = times or (0, 0)

    def _note(self, kind: int, data: bytes) -> None:
        """Remember a schema or a channel. They are told again and again, and the first time counts: a damaged chunk
        must not give a topic another name after the topics were listed.
        """
        fields = _Fields(data)
        if kind == _SCHEMA:
            number = fields.number("H")
            self._schemas.setdefault(number, printable(fields.text()))
        elif kind == _CHANNEL:
            number, schema = fields.number("H"), fields.number("H")
            topic, encoding = printable(fields.text()), printable(fields.text())
            qos = fields.texts().get("offered_qos_profiles", "")
            self._channels.setdefault(number, _Channel(topic, schema, encoding, qos))

    def _as_stored(self, budget: Budget, on_damage: OnDamage) -> Iterator[tuple[int, int, bytes]]:
        """(time, channel, data) of every message, in the order of the file."""
        at = len(_MAGIC)
        while at < self._data_end:
            start = self._read(at, at + _RECORD_START.size)
            kind, length = _RECORD_START.unpack(start) if len(start) == _RECORD_START.size else (0, self._size)
            end = at + _RECORD_START.size + length
            if end > self._data_end:
                on_damage(f"all from byte {at} of {self._path.name} on: a record there claims {length} bytes")
                return
            budget.spend(RECORD_COST_BYTES)
            try:
                if kind == _CHUNK:
                    yield from self._chunk(at, budget)
                elif kind in (_SCHEMA, _CHANNEL, _MESSAGE):
                    data = self._read(at + _RECORD_START.size, end)
                    if kind == _MESSAGE:
                        yield _message(data)
                    else:
                        self._note(kind, data)
            except (ValueError, struct.error) as error:
                on_damage(f"the record at byte {at} of {self._path.name}: {error}")
            at = end

    def _by_time(self, wanted: set[int], budget: Budget, on_damage: OnDamage) -> Iterator[tuple[int, int, bytes]]:
        """(time, channel, data) in order of time, chunk by chunk; chunks may overlap."""
        waiting: list[tuple[int, int, int, bytes]] = []
        waiting_bytes = serial = 0
        chunks = [chunk for chunk in self._chunks if chunk.channels is None or chunk.channels & wanted]
        for chunk in sorted(chunks, key=lambda chunk: chunk.start_ns):
            while waiting and waiting[0][0] <= chunk.start_ns:
                time_ns, _, number, data = heapq.heappop(waiting)
                waiting_bytes -= len(data) + RECORD_COST_BYTES
                yield time_ns, number, data
            try:
                messages = [m for m in self._chunk(chunk.at, budget) if m[1] in wanted]
            except (ValueError, struct.error) as error:
                on_damage(f"the chunk at byte {chunk.at} of {self._path.name}: {error}")
                continue
            for time_ns, number, data in messages:
                heapq.heappush(waiting, (time_ns, serial, number, data))
                serial += 1
                waiting_bytes += len(data) + RECORD_COST_BYTES
            if waiting_bytes > _MOST_WAITING_BYTES:
                raise BagError(
                    f"bag file {self._path} holds more than {_MOST_WAITING_BYTES} bytes of chunks that overlap in "
                    "time; put it in order with: mcap sort"
                )
        while waiting:
            time_ns, _, number, data = heapq.heappop(waiting)
            yield time_ns, number, data

    def _chunk(self, at: int, budget: Budget) -> Iterator[tuple[int, int, bytes]]:
        """(time, channel, data) of the messages in a chunk, in order of time; new channels are noted."""
        start = self._read(at, at + _RECORD_START.size)
        kind, length = _RECORD_START.unpack(start)
        end = at + _RECORD_START.size + length
        if kind != _CHUNK or end > self._data_end:
            raise ValueError("there is no whole chunk")
        fields = _Fields(self._read(at + _RECORD_START.size, end))
        _, _, size, checksum = fields.unpack(_CHUNK_START)
        compression, stored = fields.text(), fields.number("Q")
        what = f"the chunk at byte {at} of bag file {self._path}"
        content = expand(fields.take(stored), compression, size, what)
        budget.spend(len(content))
        if len(content) != size or (checksum and crc32(content) != checksum):
            raise ValueError("its checksum or size does not fit")
        messages = []
        for record_kind, data in _records(content):
            budget.spend(RECORD_COST_BYTES)
            if record_kind == _MESSAGE:
                messages.append(_message(data))
            else:
                self._note(record_kind, data)
        return iter(sorted(messages, key=lambda message: message[0]))


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, data) of each record."""
    at = 0
    while at < len(content):
        kind, length = _RECORD_START.unpack_from(content, at)
        at += _RECORD_START.size
        if at + length > len(content):
            raise ValueError(f"a record in it claims {length} bytes, but {len(content) - at} are left")
        yield kind, content[at : at + length]
        at += length


def _message(data: bytes) -> tuple[int, int, bytes]:
    number, _, time_ns, _ = _MESSAGE_START.unpack_from(data)
    return time_ns, number, data[_MESSAGE_START.size :]
