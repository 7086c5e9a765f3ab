"""What would be said again and again -> once, and later how often. No ROS."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

REPEAT_S = 30.0
"""What lasts is said again after so long: at most three lines a minute."""
MOST_CAUSES = 3
"""So many new causes of one reason are said within a minute; further ones are counted, and told with the next line."""
_MINUTE_S = 60.0
_MOST_REMEMBERED = 256
# Numbers that stand alone or in 640x480 differ from frame to frame; those of a name (yuv422) make another cause of it.
_NUMBER = re.compile(r"(?<![0-9A-Za-wyz_])\d[\d.]*")


@dataclass
class _Cause:
    said: float
    unsaid: int = 0


@dataclass
class _Reason:
    new: deque[float] = field(default_factory=deque)
    """When causes were said for the first time, within the last minute."""
    unsaid: int = 0


class Repetitions:
    """Which lines are worth a line; bounded, whatever comes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._causes: dict[tuple[str, str], _Cause] = {}
        self._reasons: dict[str, _Reason] = {}

    def clear(self) -> None:
        """All is new again."""
        self._causes.clear()
        self._reasons.clear()

    def line(self, reason: str, message: str) -> str:
        """The line to log now, "" for none.

        reason: a few words, of which there are few. One cause is one reason and one message, but for its numbers.
        """
        now, key = self._clock(), (reason, _NUMBER.sub("#", message))
        cause = self._causes.get(key)
        if cause is None:
            return self._first(now, key, message)
        if now - cause.said < REPEAT_S:
            cause.unsaid += 1
            return ""
        often, since_s = cause.unsaid, now - cause.said
        cause.said, cause.unsaid = now, 0
        last = message.strip().rpartition("\n")[2]  # a traceback is told once
        return f"{last} ({often} times more in the last {since_s:.0f} s)" if often else message

    def _first(self, now: float, key: tuple[str, str], message: str) -> str:
        reason = self._reasons.setdefault(key[0], _Reason())
        while reason.new and now - reason.new[0] >= _MINUTE_S:
            reason.new.popleft()
        if len(reason.new) >= MOST_CAUSES:
            reason.unsaid += 1
            return ""
        reason.new.append(now)
        if len(self._causes) >= _MOST_REMEMBERED:
            del self._causes[min(self._causes, key=lambda one: self._causes[one].said)]
        self._causes[key] = _Cause(now)
        unsaid, reason.unsaid = reason.unsaid, 0
        return f"{message} ({unsaid} others like it were not written down)" if unsaid else message
