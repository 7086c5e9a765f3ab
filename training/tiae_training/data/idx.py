"""IDX files, in which MNIST is published: four in a folder, plain or .gz, or packed together in a .tgz.

The format (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"): two zero bytes, the type of the values
(8: unsigned bytes), the number of dimensions, each dimension as a big-endian 32-bit number, and the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from tiae_ros.errors import DataError

_UNSIGNED_BYTES = 8
_MOST_BYTES = 256_000_000  # of one file, unpacked; MNIST's largest has 47 MB
_DAMAGED = (OSError, EOFError, tarfile.TarError, zlib.error)  # what gzip and tarfile raise of files cut off


def read_idx_files(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The uint8 arrays of these names (without .gz), from a folder or from a .tgz in which they lie in any folder.

    Raises DataError: absent, damaged, cut off, or of another kind.
    """
    if path.is_dir():
        return [parse_idx(_read_from_folder(path, name), str(path / name)) for name in names]
    if not path.is_file():
        raise DataError(f"{path} does not exist; needed is a folder or a .tgz with {', '.join(names)}")
    return [parse_idx(content, f"{path}: {name}") for name, content in _read_from_archive(path, names).items()]


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """One IDX file of unsigned bytes as an array. Raises DataError, naming its source."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTES:
        raise DataError(f"{source} begins with {content[:4].hex(' ') or 'nothing'}; an IDX file of bytes with 00 00 08")
    count = content[3]
    start = 4 + 4 * count
    if len(content) < start:
        raise DataError(f"{source} is cut off: it has {len(content)} bytes, and its header {start}")
    shape = struct.unpack(f">{count}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(f"{source} has {len(content) - start} values; its header says {'×'.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_from_folder(folder: Path, name: str) -> bytes:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            try:
                with open(path, "rb") if path.suffix != ".gz" else gzip.open(path) as file:
                    return _all_of(file, str(path))
            except _DAMAGED as error:
                raise DataError(f"{path} cannot be read: {error}") from None
    raise DataError(f"{folder} holds neither {name} nor {name}.gz")


def _read_from_archive(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Each named file, by its name alone, in the order asked for."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:  # read where it is: nothing is unpacked onto the disk
                name = Path(member.name).name
                bare = name.removesuffix(".gz")
                file = archive.extractfile(member) if bare in names and member.isfile() else None
                if file is not None:
                    opened = gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file
                    found[bare] = _all_of(opened, f"{path}: {name}")
    except _DAMAGED as error:
        raise DataError(f"{path} cannot be read as a .tgz: {error}") from None
    if absent := [name for name in names if name not in found]:
        raise DataError(f"{path} does not hold {', '.join(absent)}")
    return {name: found[name] for name in names}


def _all_of(file: IO[bytes] | gzip.GzipFile, source: str) -> bytes:
    """The content, unless it is far too much."""
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(f"{source} holds more than {_MOST_BYTES / 1e6:.0f} MB; MNIST's files hold 47 MB at most")
    return content
