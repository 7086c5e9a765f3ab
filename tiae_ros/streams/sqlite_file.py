"""Reading one .db3 file, as rosbag2 writes it (sqlite3).

The file may come from anyone: only plain tables are read, and no value longer than a message may be.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tiae_ros.errors import BagError
from tiae_ros.streams.expansion import MOST_PART_BYTES, Budget, expand_message
from tiae_ros.streams.stored import OnDamage, RawMessage, StoredTopic, printable

_MAGIC = b"SQLite format 3\x00"
_HEAD_BYTES = 100
_COLUMNS = {
    "topics": {"id", "name", "type", "serialization_format"},
    "messages": {"topic_id", "timestamp", "data"},
}


class SqliteFile:
    """An open .db3 file.

    Raises:
        BagError: it is no database, or not one of rosbag2.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _check_file(path)
        with self._faults():
            self._database = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1&mode=ro", uri=True)
        try:
            with self._faults():
                self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def messages(self, topics: Collection[str], on_damage: OnDamage) -> Iterator[RawMessage]:
        """The messages of these topics in order of recording; those that are damaged are left out.

        Raises:
            BagError: the file is damaged, or expands without end.
        """
        wanted = {number: topic for number, topic in self._numbered.items() if topic.name in topics}
        budget = Budget(str(self._path), self._path.stat().st_size)
        marks = ",".join("?" * len(wanted))
        with self._faults():
            rows = self._database.execute(
                f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp",
                list(wanted),
            )
        while True:
            with self._faults():
                row = rows.fetchone()
            if row is None:
                return
            number, time_ns, data = row
            topic = wanted[number]
            if not isinstance(time_ns, int) or not isinstance(data, bytes):
                on_damage(f"a message of {topic.name} that is no message")
                continue
            try:
                data = expand_message(data, budget, f"a message of {topic.name} in bag file {self._path}")
            except ValueError as error:
                on_damage(f"a message of {topic.name}: {error}")
                continue
            yield RawMessage(topic.name, topic.type, time_ns, data)

    def _open(self) -> None:
        if hasattr(self._database, "setlimit"):  # Python 3.11
            self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_PART_BYTES)
        self._database.execute("PRAGMA trusted_schema = OFF")
        for table, needed in _COLUMNS.items():
            self._check_table(table, needed)
        qos = "offered_qos_profiles" if "offered_qos_profiles" in self._columns("topics") else "''"
        counts = dict(self._database.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"))
        self._numbered = {
            number: StoredTopic(
                name=printable(str(name)),
                type=printable(str(kind)),
                serialization=printable(str(serialization)),
                count=counts.get(number, 0),
                qos=str(profiles),
            )
            for number, name, kind, serialization, profiles in self._database.execute(
                f"SELECT id, name, type, serialization_format, {qos} FROM topics ORDER BY id"
            )
        }
        self.topics = list(self._numbered.values())
        first, last = self._database.execute("SELECT min(timestamp), max(timestamp) FROM messages").fetchone()
        self.start_ns, self.end_ns = int(first or 0), int(last or 0)

    def _columns(self, table: str) -> dict[str, int]:
        """Name -> how it is hidden; 0 is an ordinary column."""
        return {row[1]: row[6] for row in self._database.execute(f"PRAGMA table_xinfo({table})")}

    def _check_table(self, table: str, needed: set[str]) -> None:
        """Views, virtual tables and generated columns compute what their maker wants, for as long as he wants."""
        row = self._database.execute("SELECT type, rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
        columns = self._columns(table)
        if row is None or not needed <= columns.keys():
            raise BagError(
                f"bag file {self._path} is no recording of rosbag2, or is damaged: it has no table {table} with the "
                f"columns {', '.join(sorted(needed))}"
            )
        if row[0] != "table" or not row[1] or any(columns.values()):
            raise BagError(f"bag file {self._path} is refused: {table} is not a plain table")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise BagError(
                f"bag file {self._path} is truncated or damaged ({reason}); {_recover(self._path)}"
            ) from None


def _check_file(path: Path) -> None:
    """What SQLite itself would notice late, or never."""
    size = path.stat().st_size
    if not size:
        raise BagError(f"bag file {path} cannot be read: it is empty (0 bytes)")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(_MAGIC) or len(head) < _HEAD_BYTES:
        raise BagError(f"bag file {path} cannot be read: it is no sqlite3 database, or its beginning is damaged")
    page_size, changes, pages, valid_for = (
        struct.unpack_from(code, head, at)[0] for code, at in ((">H", 16), (">I", 24), (">I", 28), (">I", 92))
    )
    whole = pages * (65536 if page_size == 1 else page_size)
    if changes == valid_for and size < whole:
        raise BagError(f"bag file {path} is truncated: {size} bytes of {whole}; {_recover(path)}")
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise BagError(
            f"bag file {path} is not complete: its last messages are in {log.name}, since its recorder was killed or "
            f"still runs; put them in with: sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        )


def _recover(path: Path) -> str:
    return f"save what is in it with: sqlite3 {path} .recover | sqlite3 recovered.db3"
