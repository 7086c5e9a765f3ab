"""How often a browser can take a new picture: the next one is drawn when it has shown the last.

A browser on a slow machine would otherwise be sent ten pictures a second and show each later than the one before.
Whether it has got there is asked by a question that it answers in its turn, after everything that was sent before.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

_PATIENCE_S = 2.0  # of the other browsers with a slow one
_GIVE_UP_S = 20.0
_KEY = "tiae_view"  # of the browser's storage; it is never set


class Pace:
    """Of all browsers together."""

    def __init__(self) -> None:
        self._waiting: dict[int, float] = {}
        self._lock = threading.Lock()
        self.round_trip_s = 0.0
        """Of the last answer."""

    def ready(self, clients: Iterable[int]) -> bool:
        """Whether each browser has shown what it was sent, or has kept the others waiting for long."""
        now = time.monotonic()
        with self._lock:
            return all(now - self._waiting.get(client, 0.0) > _PATIENCE_S for client in clients)

    def sent(self, clients: Mapping[int, Any]) -> None:
        """Something was: ask those that have answered the last question."""
        for number, client in clients.items():
            with self._lock:
                if number in self._waiting:
                    continue
                self._waiting[number] = time.monotonic()
            # Not of a pool: the end of the process would wait for a browser that does not answer.
            threading.Thread(target=self._ask, args=(number, client), daemon=True).start()

    def _ask(self, number: int, client: Any) -> None:
        started = time.monotonic()
        with contextlib.suppress(RuntimeError, TimeoutError):  # it has gone, or it keeps no storage
            client.local_storage.get_item(_KEY, timeout=_GIVE_UP_S)
        with self._lock:
            self.round_trip_s = time.monotonic() - started
            self._waiting.pop(number, None)
