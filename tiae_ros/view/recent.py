"""The last seconds of messages as they came over the wire: bytes, which cost only memory until they are drawn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tiae_ros.streams.recorded_messages import header_stamp_ns

MEMORY_S = 2.0
_MOST_BYTES = 512 * 2**20
_WITHOUT_HEADER = ("std_msgs/msg/String",)


@dataclass(frozen=True)
class Arrived:
    """A stored message (CDR) and when it came."""

    topic: str
    kind: str  # e.g. sensor_msgs/msg/Image
    time_ns: int  # of the system's clock
    data: bytes

    @property
    def stamp_ns(self) -> int:
        """That of its header; 0 for a type without one."""
        return 0 if self.kind in _WITHOUT_HEADER else header_stamp_ns(self.data)


class Messages:
    """Messages of one moment of `Recent`, by topic."""

    def __init__(self, messages: Iterable[Arrived]) -> None:
        self._of: dict[str, list[Arrived]] = {}
        for one in messages:
            self._of.setdefault(one.topic, []).append(one)

    def newest(self, topic: str) -> Arrived | None:
        """The last message of a topic."""
        return next(iter(self.backwards(topic)), None)

    def at(self, topic: str, stamp_ns: int) -> Arrived | None:
        """The message of a topic with exactly this stamp."""
        return next((one for one in self.backwards(topic) if one.stamp_ns == stamp_ns), None)

    def backwards(self, topic: str) -> list[Arrived]:
        """Messages of a topic, the newest first."""
        return self._of.get(topic, [])[::-1]


class Recent:
    """Messages of the last seconds by topic; written by the thread that listens, read by the one that draws."""

    def __init__(
        self,
        memory_s: float = MEMORY_S,
        most_bytes: int = _MOST_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._memory_ns = round(memory_s * 1e9)
        self._most_bytes = most_bytes
        self._now_ns = now_ns
        self._messages: deque[Arrived] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self.paused = False
        """While it is, nothing new is taken and nothing is let go of."""

    def add(self, topic: str, kind: str, data: bytes) -> None:
        """A message that has just come."""
        now = self._now_ns()
        with self._lock:
            if self.paused:
                return
            if self._messages and self._messages[-1].time_ns > now:  # the system's clock was set back
                self._forget_all()
            self._messages.append(Arrived(topic, kind, now, data))
            self._bytes += len(data)
            while now - self._messages[0].time_ns > self._memory_ns or self._bytes > self._most_bytes:
                self._bytes -= len(self._messages.popleft().data)
                if not self._messages:
                    break

    def all(self) -> list[Arrived]:
        """Everything there is, in order of arrival."""
        with self._lock:
            return list(self._messages)

    def by_topic(self) -> Messages:
        """Everything there is, to look things up in."""
        return Messages(self.all())

    def rates_hz(self) -> dict[str, float]:
        """Topic -> messages per second."""
        messages = self.all()
        if not messages:
            return {}
        now = messages[-1].time_ns if self.paused else self._now_ns()
        span_s = max(min(self._memory_ns, now - messages[0].time_ns) * 1e-9, 0.5)
        counts: dict[str, int] = {}
        for one in messages:
            counts[one.topic] = counts.get(one.topic, 0) + (now - one.time_ns <= self._memory_ns)
        return {topic: count / span_s for topic, count in counts.items()}

    def forget(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._forget_all()

    def _forget_all(self) -> None:
        self._messages.clear()
        self._bytes = 0
