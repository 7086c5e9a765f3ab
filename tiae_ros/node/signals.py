"""SIGINT and SIGTERM as a flag that a loop looks at.

No rclpy: it is there before anything that takes long to import.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_POLL_S = 0.05


class Interrupted(BaseException):
    """A signal has come. Not KeyboardInterrupt: where that passes through an `exec` of text, as in the making of a
    dataclass, Python ends the process by the signal in the end, even when it was caught.
    """


class Stop:
    """Whether SIGINT or SIGTERM has come; made before anything else, on the main thread.

    The handler only sets a flag, which needs no lock: a lock could be held by the code that the signal interrupts.
    """

    def __init__(self) -> None:
        self.asked = False
        self._may_interrupt = False
        self._set(self._on_signal)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Here a signal raises `Interrupted`; for what takes long and can be given up."""
        self._may_interrupt = True
        try:
            yield
        finally:
            self._may_interrupt = False

    def ignore(self) -> None:
        """From here on nothing is left to end; by default a late signal would end the process by itself."""
        self._set(signal.SIG_IGN)

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, less when a signal comes; whether one has."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_S))
        return self.asked

    def _on_signal(self, number: int, frame: Any) -> None:
        self.asked = True
        if self._may_interrupt:
            raise Interrupted

    @staticmethod
    def _set(handler: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, handler)
