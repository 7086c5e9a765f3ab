"""One thread that takes the newest item and works on it; what is not fetched in time is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tiae_ros.node.mailbox import Mailbox

T = TypeVar("T")
_PATIENCE_S = 5.0


class Worker(Generic[T]):
    """Stopped until `start`; `stop` waits for the item at hand."""

    def __init__(self, work: Callable[[T], None]) -> None:
        self._work = work
        self._mailbox: Mailbox[T] = Mailbox()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._mailbox = Mailbox()
        self._thread = threading.Thread(target=self._run, args=(self._mailbox,), name="tiae_worker", daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Leave an item; True when it displaced one that nobody had fetched."""
        return self._mailbox.put(item)

    def clear(self) -> None:
        """Throw away what waits."""
        self._mailbox.clear()

    def stop(self, patience_s: float = _PATIENCE_S) -> bool:
        """Whether the item at hand was finished in time."""
        self._mailbox.close()
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        thread.join(timeout=patience_s)
        return not thread.is_alive()

    def _run(self, mailbox: Mailbox[T]) -> None:
        while (item := mailbox.get()) is not None:
            self._work(item)
