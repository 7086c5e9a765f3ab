"""What is wrong with the node: to the log when it begins and now and then, to /diagnostics while it lasts."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from tiae_ros.node.repetitions import Repetitions
from tiae_ros.node.statistics import Statistics
from tiae_ros.perception import ERROR, FrameDropped

_LASTS_S = 3.0


class Health:
    """Faults (somebody has to act) and warnings (it may pass), by reason; forgotten by `clear`."""

    def __init__(self, logger: Any, statistics: Statistics) -> None:
        self._logger = logger
        self._statistics = statistics
        self._repetitions = Repetitions()
        self._faults: dict[str, tuple[float, str]] = {}
        self._warnings: dict[str, tuple[float, str]] = {}

    def clear(self) -> None:
        for remembered in (self._repetitions, self._faults, self._warnings):
            remembered.clear()

    def fault(self, reason: str, message: str) -> None:
        self._faults[reason] = (time.monotonic(), message.strip().rpartition("\n")[2])
        if line := self._repetitions.line(reason, message):
            self._logger.error(line)

    def warn(self, reason: str, message: str) -> None:
        self._warnings[reason] = (time.monotonic(), message)
        if line := self._repetitions.line(reason, message):
            self._logger.warning(line)

    def tell(self, reason: str, message: str) -> None:
        """A warning for the log alone."""
        if line := self._repetitions.line(reason, message):
            self._logger.warning(line)

    def note(self, reason: str, message: str) -> None:
        """To the log alone."""
        if line := self._repetitions.line(reason, message):
            self._logger.info(line)

    def faults(self) -> Mapping[str, str]:
        """Those of the last seconds."""
        return _recent(self._faults)

    def warnings(self) -> dict[str, str]:
        """Those of the last seconds."""
        return _recent(self._warnings)

    @contextlib.contextmanager
    def reported(self, what: str) -> Iterator[None]:
        """What goes wrong within costs this much and nothing else: it is counted and said."""
        try:
            yield
        except FrameDropped as dropped:
            self._statistics.drop(dropped.reason)
            (self.fault if dropped.level == ERROR else self.warn)(dropped.reason, str(dropped))
        except MemoryError as error:
            self._statistics.drop("out of memory")
            self.fault("out of memory", f"{what} dropped: not enough memory for it ({error})")
        except Exception:
            self._statistics.drop("exception")
            self.fault("exception", f"{what} dropped by an exception: {traceback.format_exc()}")


def _recent(remembered: Mapping[str, tuple[float, str]]) -> dict[str, str]:
    now = time.monotonic()
    return {reason: message for reason, (when, message) in [*remembered.items()] if now - when < _LASTS_S}
