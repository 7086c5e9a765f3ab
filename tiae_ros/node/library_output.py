"""What libpng and libjpeg write to the process's standard error output: a line for each damaged picture. No ROS."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

_OURS = re.compile(
    rb"libpng |Corrupt JPEG|Premature end of JPEG|Invalid SOS|Inconsistent progression|Unknown Adobe|"
    rb"Warning: unknown JFIF"
)
_STDERR = 2
_lock = threading.Lock()
_kept: list[int] = []  # file in memory that takes the output's place; made once


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Within, the libraries' lines go to the list (which is filled at the end), all others where they belong.

    At 30 Hz they would flood the log, and OpenCV has no setting for them. Other threads may write meanwhile: what is
    not the libraries' is written a moment later.
    """
    said: list[str] = []
    with _lock:
        try:
            real = os.dup(_STDERR)
        except OSError:  # no such output, so nothing to keep it from
            yield said
            return
        try:
            kept = _memory()
            os.dup2(kept, _STDERR)
            try:
                yield said
            finally:
                os.dup2(real, _STDERR)
                said += _sort_out(kept)
        finally:
            os.close(real)


def _memory() -> int:
    if not _kept:
        _kept.append(os.memfd_create("tiae_library_output"))
    return _kept[0]


def _sort_out(kept: int) -> list[str]:
    size = os.lseek(kept, 0, os.SEEK_CUR)
    if not size:
        return []
    lines = os.pread(kept, size, 0).splitlines(keepends=True)
    os.ftruncate(kept, 0)
    os.lseek(kept, 0, os.SEEK_SET)
    others = b"".join(line for line in lines if not _OURS.match(line))
    if others:
        os.write(_STDERR, others)
    return [line.decode(errors="replace").strip() for line in lines if _OURS.match(line)]
