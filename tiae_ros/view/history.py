"""What the page draws over time: one column per result, the newest on the right."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tiae_ros.vision.labels import Floats

LENGTH = 200  # columns, at ten a second
SPAN_S = 20.0


class History:
    """The main grasp of the last results; a result without a grasp is NaN."""

    def __init__(self, length: int = LENGTH, now: Callable[[], float] = time.monotonic) -> None:
        """now: seconds; stamps would jump where a recording is played again and again."""
        self._length = length
        self._now = now
        self._stamp_ns: int | None = None
        self._descriptors: deque[Floats | None] = deque(maxlen=length)
        self._shifts: deque[tuple[float, float]] = deque(maxlen=length)
        self._times: deque[float] = deque(maxlen=length)
        self._columns: tuple[deque[Any], ...] = (self._times, self._descriptors, self._shifts)

    def add(self, stamp_ns: int, descriptor: Floats | None, shift: tuple[float, float] | None) -> None:
        """A result; the same one is not taken twice, and one of another model begins anew."""
        if stamp_ns == self._stamp_ns:
            return
        self._stamp_ns = stamp_ns
        sizes = {one.shape for one in self._descriptors if one is not None}
        if descriptor is not None and sizes and descriptor.shape not in sizes:
            for column in self._columns:
                column.clear()
        now = self._now()
        while self._times and now - self._times[0] > SPAN_S:
            for column in self._columns:
                column.popleft()
        self._times.append(now)
        self._descriptors.append(descriptor)
        self._shifts.append(shift or (np.nan, np.nan))

    def strip(self) -> Floats:
        """(K, LENGTH), NaN where nothing is; K is 0 before the first grasp."""
        size = next((len(one) for one in self._descriptors if one is not None), 0)
        columns = np.full((self._length, size), np.nan, np.float32)
        for row, one in zip(columns[self._length - len(self._descriptors) :], self._descriptors, strict=True):
            if one is not None:
                row[:] = one
        strip: Floats = columns.T
        return strip

    def shifts(self) -> tuple[Floats, Floats, Floats]:
        """Seconds before the newest (T,), and the shifts dx, dy (T,) in pixels."""
        if not self._times:
            nothing = np.zeros(0, np.float32)
            return nothing, nothing, nothing
        seconds = np.array(self._times) - self._times[-1]
        dx, dy = np.array(self._shifts, np.float32).T
        return seconds.astype(np.float32), dx, dy

    def track(self, length: int = 8) -> list[Floats]:
        """The last descriptors that there were, the newest last."""
        return [one for one in list(self._descriptors)[-length:] if one is not None]
