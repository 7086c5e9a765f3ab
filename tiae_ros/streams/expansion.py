"""Compressed parts of a bag -> bytes, in bounded time and memory: a few bytes can claim, or become, terabytes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from tiae_ros.errors import BagError, MissingExtraError, install_hint

MOST_PART_BYTES = 256 * 2**20  # of one chunk or message; recorders write chunks of about 1 MB
_FREE_BYTES = 2**30
_MOST_TIMES = 250  # what a whole file may expand by; camera data shrinks 2 to 5 times, drawn scenes about 100 times
RECORD_COST_BYTES = 256  # what stepping over one record costs, however short it is
_ZSTD_START = b"\x28\xb5\x2f\xfd"
_PIECE_BYTES = 2**20


class Budget:
    """What one pass through a file may expand to, by the size of the file."""

    def __init__(self, name: str, stored_bytes: int) -> None:
        self._name = name
        self._most = self._left = _FREE_BYTES + _MOST_TIMES * stored_bytes

    def spend(self, size: int) -> None:
        """Count what was read.

        Raises:
            BagError: it is too much for a recording of this size.
        """
        self._left -= size
        if self._left < 0:
            raise BagError(
                f"bag file {self._name} expands to more than {self._most} bytes, over {_MOST_TIMES} times its size: it "
                "is no recording, and is not read on"
            )


def expand(data: bytes, compression: str, claimed: int | None, what: str) -> bytes:
    """The bytes of one compressed chunk or message; `claimed` is how many they are said to be, if that is known.

    Raises:
        BagError: they claim, or become, more than is accepted.
        ValueError: the data is damaged, or compressed in a way that is not known.
    """
    most = MOST_PART_BYTES if claimed is None else claimed
    if most > MOST_PART_BYTES:
        raise BagError(f"{what} claims to expand to {claimed} bytes; accepted are up to {MOST_PART_BYTES}")
    if not compression:
        return data
    decompressor = _decompressor(compression)
    try:
        expanded = bytes(decompressor.decompress(data, max_length=most + 1))
    except Exception as error:  # each library has types of its own
        raise ValueError(f"its {compression} data is damaged ({' '.join(str(error).split())})") from None
    if len(expanded) > most:
        raise BagError(
            f"{what}, {len(data)} bytes, expands to more than the {most} bytes "
            f"{'accepted' if claimed is None else 'it claims'}: it is no recording, and is not read on"
        )
    if not decompressor.eof:
        raise ValueError(f"its {compression} data is cut off")
    return expanded


def expand_message(data: bytes, budget: Budget, what: str) -> bytes:
    """A stored message as it was sent: rosbag2's compression mode `message` leaves zstd in the storage.

    Raises:
        BagError: it becomes more than is accepted.
        ValueError: the data is damaged.
    """
    if not data.startswith(_ZSTD_START):  # as no CDR begins
        return data
    expanded = expand(data, "zstd", None, what)
    budget.spend(len(expanded))
    return expanded


def expand_file(source: Path, target: Path) -> None:
    """A whole file compressed by zstd (rosbag2's compression mode `file`) -> another file.

    Raises:
        BagError: it expands without end, or is damaged.
    """
    budget = Budget(str(source), source.stat().st_size)
    zstd = _zstd()
    try:
        with zstd.open(source, "rb") as compressed, target.open("wb") as file:
            while piece := compressed.read(_PIECE_BYTES):
                budget.spend(len(piece))
                if shutil.disk_usage(target.parent).free < 2 * len(piece):
                    raise BagError(f"bag file {source} does not fit into {target.parent} when it is expanded")
                file.write(piece)
    except (zstd.ZstdError, EOFError) as error:
        raise BagError(f"bag file {source} is truncated or damaged ({error}); copy it again") from None


def _decompressor(compression: str) -> Any:
    if compression == "zstd":
        return _zstd().ZstdDecompressor()
    if compression == "lz4":
        try:
            import lz4.frame
        except ImportError:
            raise _missing("lz4") from None
        return lz4.frame.LZ4FrameDecompressor()
    raise ValueError(f"compression {compression!r} is not known; known are zstd and lz4")


def _zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise _missing("backports.zstd") from None
    return zstd


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f"this bag is compressed, and reading it needs the package `{package}`; install it with: {install_hint('bags')}"
    )
