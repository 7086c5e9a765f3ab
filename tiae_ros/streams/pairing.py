"""Messages of several streams -> sets that belong to one moment.

The first slot is the *reference* (colour). A reference message is complete when each other slot has a
message of the same stamp or, failing that, the nearest one within the slop. The nearest one is known as soon
as a stream has gone past the reference's stamp, or when what it has so far is closer than half its period (its next
message can then only be farther away): waiting longer would only add latency.

Order of arrival does not matter as long as a message is still remembered (``capacity`` per slot). A stamp far
below those seen before is a clock that jumped back (bag loop, simulation reset): everything later than it is
forgotten, and the first new set completes as usual.

Nothing here locks or calls back: ``push`` returns what became complete, and the caller acts on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

UNPAIRED = "unpaired"
DUPLICATE = "duplicate stamp"


@dataclass(frozen=True)
class Pair(Generic[T]):
    """One message of each slot; the stamp is the reference's."""

    stamp_ns: int
    items: dict[str, T]


@dataclass
class Pushed(Generic[T]):
    """What one message led to."""

    pairs: list[Pair[T]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """Reference messages given up, by reason."""
    jumped_back: bool = False


class Pairer(Generic[T]):
    """Collects messages until sets of one moment are complete.

    Args:
        slots: names of the streams; the first is the reference.
        slop_s: largest difference of stamps within a set, seconds.
        capacity: messages remembered per slot.
        jump_s: a stamp this much below the newest one of its slot is a clock that jumped back.
    """

    def __init__(self, slots: Sequence[str], *, slop_s: float = 0.02, capacity: int = 8, jump_s: float = 0.25) -> None:
        self._reference, *self._others = slots
        self.slop_s = slop_s
        self._jump_ns = round(jump_s * 1e9)
        self._capacity = capacity
        self._waiting: dict[str, dict[int, T]] = {slot: {} for slot in slots}
        self._newest: dict[str, int] = {}
        self._periods: dict[str, deque[int]] = {slot: deque(maxlen=5) for slot in slots}
        self._done: deque[int] = deque(maxlen=2 * capacity)
        self._missed_ns: deque[int] = deque(maxlen=2 * capacity)

    def push(self, slot: str, stamp_ns: int, item: T) -> Pushed[T]:
        """Take one message of a slot; returns the sets it completed, oldest first."""
        result: Pushed[T] = Pushed()
        newest = self._newest.get(slot)
        if newest is not None and stamp_ns < newest - self._jump_ns:
            self._forget_after(stamp_ns + self._jump_ns)
            result.jumped_back = True
        waiting = self._waiting[slot]
        if slot == self._reference and stamp_ns in self._done:
            result.dropped[DUPLICATE] = 1
            return result
        if slot == self._reference and stamp_ns in waiting:
            result.dropped[DUPLICATE] = 1
        self._note_stamp(slot, stamp_ns)
        waiting[stamp_ns] = item
        result.pairs = self._complete()
        while len(waiting) > self._capacity:
            oldest = min(waiting)
            del waiting[oldest]
            if slot == self._reference:
                self._note_miss(oldest)
                result.dropped[UNPAIRED] = result.dropped.get(UNPAIRED, 0) + 1
        return result

    def reset(self) -> None:
        """Forget everything."""
        for slot in self._waiting:
            self._waiting[slot].clear()
            self._periods[slot].clear()
        self._newest.clear()
        self._done.clear()
        self._missed_ns.clear()

    def missed_by_s(self) -> float | None:
        """How far apart the nearest stamps of lately unpaired references were; None when there were none."""
        return min(self._missed_ns) * 1e-9 if self._missed_ns else None

    def waiting(self) -> dict[str, int]:
        """Messages remembered per slot."""
        return {slot: len(messages) for slot, messages in self._waiting.items()}

    def _note_stamp(self, slot: str, stamp_ns: int) -> None:
        newest = self._newest.get(slot)
        if newest is None or stamp_ns > newest:
            if newest is not None:
                self._periods[slot].append(stamp_ns - newest)
            self._newest[slot] = stamp_ns

    def _note_miss(self, stamp_ns: int) -> None:
        """Remember how near the other streams came to a reference that is given up."""
        others = [self._waiting[slot] for slot in self._others]
        if all(others):
            self._missed_ns.append(max(min(abs(other - stamp_ns) for other in waiting) for waiting in others))

    def _forget_after(self, limit_ns: int) -> None:
        for slot, waiting in self._waiting.items():
            for stamp in [stamp for stamp in waiting if stamp > limit_ns]:
                del waiting[stamp]
            self._periods[slot].clear()
            if self._newest.get(slot, limit_ns) > limit_ns:
                del self._newest[slot]
                if waiting:
                    self._newest[slot] = max(waiting)
        self._done.clear()

    def _complete(self) -> list[Pair[T]]:
        pairs = []
        references = self._waiting[self._reference]
        for stamp in sorted(references):
            partners = {slot: self._partner(slot, stamp) for slot in self._others}
            if any(partner is None for partner in partners.values()):
                continue
            items = {self._reference: references.pop(stamp)}
            for slot, partner in partners.items():
                if partner is not None:
                    items[slot] = self._waiting[slot].pop(partner)
            self._done.append(stamp)
            self._missed_ns.clear()
            pairs.append(Pair(stamp, items))
        return pairs

    def _partner(self, slot: str, stamp_ns: int) -> int | None:
        """Stamp of the message that goes with a reference, None while that cannot be told."""
        waiting = self._waiting[slot]
        if stamp_ns in waiting:
            return stamp_ns
        if not waiting:
            return None
        nearest = min(waiting, key=lambda other: abs(other - stamp_ns))
        distance = abs(nearest - stamp_ns)
        # Farther than half the reference's period, it belongs to the reference before or after.
        limits = [round(self.slop_s * 1e9), *(period // 2 for period in self._periods[self._reference])]
        if distance > min(limits):
            return None
        periods = self._periods[slot]
        settled = self._newest[slot] > stamp_ns or (periods and distance <= min(periods) / 2)
        return nearest if settled else None
