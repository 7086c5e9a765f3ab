"""Which files make up a bag: a folder with metadata.yaml, a folder of plain files, or one file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from tiae_ros.errors import BagError
from tiae_ros.streams.expansion import expand_file
from tiae_ros.streams.mcap_file import McapFile
from tiae_ros.streams.sqlite_file import SqliteFile
from tiae_ros.streams.stored import StoredFile, printable

_KINDS: dict[str, Callable[[Path], StoredFile]] = {".mcap": McapFile, ".db3": SqliteFile}
_COMPRESSED = ".zstd"
_MOST_METADATA_CHARS = 8 * 2**20
_FILES = re.compile(
    r"^[ ]*relative_file_paths:[ ]*(?:\[(?P<flow>[^\]]*)\]|\r?\n(?P<block>(?:[ ]*-[ ]+[^\n]*(?:\n|$))+))", re.MULTILINE
)
_ITEM = re.compile(r"^[ ]*-[ ]+(.*)$", re.MULTILINE)
_METADATA = "metadata.yaml"


class BagFiles:
    """The open files of a bag, in order of time.

    Raises:
        BagError: there is no bag, or a file of it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.opened: list[StoredFile] = []
        self._folder: TemporaryDirectory[str] | None = None
        try:
            for file in _files_of(path):
                self.opened.append(self._open(file))
        except BaseException:
            self.close()
            raise
        self.opened.sort(key=lambda file: file.start_ns)

    def close(self) -> None:
        """Let go of the files, and of what was expanded to read them."""
        for file in self.opened:
            file.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _open(self, path: Path) -> StoredFile:
        if path.suffix == _COMPRESSED:  # rosbag2's compression mode `file`
            self._folder = self._folder or TemporaryDirectory(prefix="tiae_bag_")
            expanded = Path(self._folder.name, f"{len(self.opened)}_{path.stem}")
            expand_file(path, expanded)
            path = expanded
        return _KINDS[path.suffix](path)


def _is_bag_file(path: Path) -> bool:
    name = path.name.removesuffix(_COMPRESSED)
    return path.is_file() and PurePath(name).suffix in _KINDS


def _files_of(path: Path) -> list[Path]:
    if not path.exists():
        raise BagError(f"bag {path} does not exist; give a rosbag2 folder, or an .mcap or .db3 file")
    if path.is_file():
        if not _is_bag_file(path):
            raise BagError(f"bag {path} is neither a rosbag2 folder nor an .mcap or .db3 file")
        return [path]
    if not (path / _METADATA).exists():
        found = sorted(file for file in path.iterdir() if _is_bag_file(file))
        if not found:
            raise BagError(f"bag {path} has no metadata.yaml and no .mcap or .db3 file, so it is no rosbag2 folder")
        return found
    names = _listed(path)
    files = [path / PurePath(name).name for name in names]  # never outside the folder
    if missing := [file.name for file in files if not _is_bag_file(file)]:
        raise BagError(
            f"bag {path} lacks {', '.join(missing)}, which its metadata.yaml lists; copy these files too, or make the "
            f"metadata anew from those that are there: ros2 bag reindex {path}"
        )
    return files


def _listed(path: Path) -> list[str]:
    """The files that metadata.yaml lists. All else is in the files themselves: topics, counts, times, compression.

    It is not read by a YAML library, which a few bytes (merge keys that double) keep busy for ever.
    """
    file = path / _METADATA
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(_MOST_METADATA_CHARS)
    except OSError as error:
        raise BagError(f"metadata.yaml of bag {path} cannot be read: {error}") from None
    found = _FILES.search(text)
    lines: list[str] = []
    if found is not None:
        lines = found["flow"].split(",") if found["block"] is None else _ITEM.findall(found["block"])
    names = [printable(name) for line in lines if (name := line.strip().strip("'\""))]
    if not names:
        raise BagError(
            f"metadata.yaml of bag {path} is truncated or damaged: it lists no files (relative_file_paths); make it "
            f"anew with: ros2 bag reindex {path} (or remove it: the files are read without it too)"
        )
    return names
