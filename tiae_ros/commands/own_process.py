"""A `tiae` command in a process of its own, for what shows several of them together."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

_PATIENCE_S = 10.0


@contextlib.contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    """Started with these words after `tiae`; ended by SIGINT if it has not ended by itself."""
    process = subprocess.Popen([sys.executable, "-m", "tiae_ros.cli", *map(str, words)])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
