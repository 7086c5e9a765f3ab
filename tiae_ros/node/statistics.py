"""What the node counts: rates of its streams, latencies, drops by reason. Thread-safe, bounded, no ROS."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

RATE_WINDOW_S = 3.0
_LATENCIES = 512


@dataclass(frozen=True)
class Snapshot:
    """The counts at one moment."""

    rates_hz: Mapping[str, float]
    """Events per second over the last seconds, by name."""
    ages_s: Mapping[str, float]
    """Seconds since the last event, by name; absent when there was none."""
    totals: Mapping[str, int]
    drops: Mapping[str, int]
    """Since the node was activated, by reason."""
    recent_drops: Mapping[str, int]
    """Within the last seconds, by reason."""
    latency_ms: Mapping[str, tuple[float, float]]
    """(p50, p99) by name."""


class Statistics:
    """Counts events by name; everything is forgotten by ``clear``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: dict[str, deque[float]] = {}
        self._totals: Counter[str] = Counter()
        self._drops: Counter[str] = Counter()
        self._recent_drops: deque[tuple[float, str, int]] = deque(maxlen=1024)
        self._latencies: dict[str, deque[float]] = {}
        self._since = clock()

    def clear(self) -> None:
        """Start again from nothing."""
        with self._lock:
            for counts in (self._events, self._totals, self._drops, self._recent_drops, self._latencies):
                counts.clear()
            self._since = self._clock()

    def clear_rates(self) -> None:
        """Forget when things happened, not how often (a clock jumped)."""
        with self._lock:
            for times in self._events.values():
                while len(times) > 1:  # the last one stays: its age is still true
                    times.popleft()
            self._since = self._clock()

    def event(self, name: str) -> None:
        """One more of this kind now."""
        now = self._clock()
        with self._lock:
            times = self._events.setdefault(name, deque(maxlen=1024))
            times.append(now)
            self._totals[name] += 1

    def drop(self, reason: str, count: int = 1) -> None:
        """So many frames dropped for this reason."""
        with self._lock:
            self._drops[reason] += count
            self._recent_drops.append((self._clock(), reason, count))

    def latency(self, name: str, seconds: float) -> None:
        """How long something took."""
        with self._lock:
            self._latencies.setdefault(name, deque(maxlen=_LATENCIES)).append(seconds * 1e3)

    def snapshot(self) -> Snapshot:
        """The counts now."""
        with self._lock:
            now = self._clock()
            span = min(RATE_WINDOW_S, max(now - self._since, 1e-3))
            recent: Counter[str] = Counter()
            for when, reason, count in self._recent_drops:
                if now - when <= RATE_WINDOW_S:
                    recent[reason] += count
            return Snapshot(
                rates_hz={
                    name: sum(now - when <= span for when in times) / span for name, times in self._events.items()
                },
                ages_s={name: now - times[-1] for name, times in self._events.items() if times},
                totals=dict(self._totals),
                drops=dict(self._drops),
                recent_drops=dict(recent),
                latency_ms={name: _percentiles(values) for name, values in self._latencies.items()},
            )


def _percentiles(values: deque[float]) -> tuple[float, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(0.5 * last)], ordered[round(0.99 * last)]
