"""Files as MNIST's, made here: for tests of what reads them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from tiae_training.data.digits import _FILES


def idx(values: Any) -> bytes:
    """An IDX file of bytes."""
    values = np.asarray(values, np.uint8)
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def official(training: int = 120, test: int = 50) -> dict[str, bytes]:
    """Name -> content of four files; picture i is of digit i mod 10 and has the grey value i."""
    contents = []
    for count in (training, test):
        numbers = np.arange(count)
        contents += [idx(np.ones((count, 28, 28)) * numbers[:, None, None]), idx(numbers % 10)]
    return dict(zip(_FILES, contents, strict=True))


def folder_of(path: Path, contents: dict[str, bytes], *, packed: bool = False) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    return path


def archive_of(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"package.json": b"{}", **contents}.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def figures(training: int = 120, test: int = 50) -> dict[str, bytes]:
    """The same with ten kinds of figures to tell apart: a bar and a block beside it, of varied brightness."""
    contents = []
    for count, seed in ((training, 0), (test, 1)):
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % 10
        pictures = np.zeros((count, 28, 28))
        for picture, label in zip(pictures, labels, strict=True):
            picture[6:22, 12:15] = rng.integers(150, 250)
            row = 6 + 3 * (label // 2)
            picture[row : row + 4, 15 : 19 + 3 * (label % 2)] = rng.integers(150, 250)
        contents += [idx(pictures), idx(labels)]
    return dict(zip(_FILES, contents, strict=True))
