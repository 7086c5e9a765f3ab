"""One slot between two threads: a new item takes the place of one that was not fetched yet."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Newest wins. ``put`` never waits; ``get`` waits for an item or for the end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item; True when it displaced one that nobody had fetched."""
        with self._changed:
            displaced = self._item is not None
            self._item = item
            self._changed.notify()
        return displaced

    def get(self) -> T | None:
        """The newest item, None once the mailbox is closed."""
        with self._changed:
            while self._item is None and not self._closed:
                self._changed.wait()
            item, self._item = self._item, None
            return None if self._closed else item

    def clear(self) -> bool:
        """Throw away what waits; True when something did."""
        with self._changed:
            waited, self._item = self._item is not None, None
        return waited

    def close(self) -> None:
        """End: whoever waits gets None, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
