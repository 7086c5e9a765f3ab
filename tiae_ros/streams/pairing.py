"""Messages of several streams -> sets that belong to one moment, while they come in.

The first slot is the *reference* (colour). A reference message is complete when each other slot has a
message of the same stamp or, failing that, the nearest one within the slop. The nearest one is known as soon
as a stream has gone past the reference's stamp, or when what it has so far is closer than half its period (its next
message can then only be farther away): waiting longer would only add latency.

Order of arrival does not matter as long as a message is still remembered: for ``memory_s`` after it came, and within
``memory_bytes`` in all. A stamp far below those seen before is a clock that jumped back (bag loop, simulation reset):
everything later than it is forgotten, and the first new set completes as usual.

A slot whose stamps have never changed says nothing about moments. While there is one, all slots are paired by the time
at which their messages came. A stream that stands still after its stamps did change is another matter: its last image
would be paired with newer ones, so it is not.

Nothing here locks or calls back: ``push`` returns what became complete, and the caller acts on it.
For recorded messages, all of which can be looked at before any is paired, see `tiae_ros.streams.recorded_pairs`.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

UNPAIRED = "unpaired"
DUPLICATE = "duplicate stamp"

ARRIVAL_SLOP_S = 0.1  # drivers send the images of one moment one after the other; half the period limits it too
_SAME_STAMPS = 3  # so many messages of one stamp, and never another: the stamps mean nothing
_STAMPS_KEPT = 512  # per slot, to tell how far apart what was not paired is
_MISSES_KEPT = 256
_MISSES_LOOKED_AT = 8  # spread over them: the partners of the newest ones may be still to come
_MISSES_LAST_S = 5.0


@dataclass(frozen=True)
class Pair(Generic[T]):
    """One message of each slot; the stamp is the reference's."""

    stamp_ns: int
    items: dict[str, T]
    by_arrival: bool = False
    """Stamps say nothing here, the order neither."""


@dataclass
class Pushed(Generic[T]):
    """What one message led to."""

    pairs: list[Pair[T]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """Reference messages given up, by reason."""
    jumped_back: bool = False

    def drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


@dataclass(frozen=True)
class Missed:
    """How near a stream came to a reference that found no partner in it."""

    slot: str
    stamps_apart_s: float
    arrival_apart_s: float
    """Above 0: the other stream came later."""

    def told(self, slop_s: float) -> str:
        """Half a sentence for people."""
        order = "later" if self.arrival_apart_s >= 0 else "earlier"
        return (
            f"{self.slot}: the nearest stamps are {self.stamps_apart_s:.3f} s apart (slop {slop_s:g} s), it comes "
            f"{abs(self.arrival_apart_s):.3f} s {order}"
        )


@dataclass(frozen=True)
class _Waiting(Generic[T]):
    stamp_ns: int
    arrival_ns: int
    item: T
    size: int


class _Slot(Generic[T]):
    """What is remembered of one stream. Keys are what is paired by: stamps, or times of arrival."""

    def __init__(self) -> None:
        self.waiting: dict[int, _Waiting[T]] = {}  # by key, in order of arrival
        self.keys: list[int] = []  # the same, sorted
        self.newest: int | None = None
        self.periods: deque[int] = deque(maxlen=5)
        self.history: deque[tuple[int, int]] = deque(maxlen=_STAMPS_KEPT)
        """(stamp, arrival) of what came, paired or not."""
        self.only_stamp: int | None = None
        """The stamp of all messages so far; None before the first one, and once there were two."""
        self.count = 0

    @property
    def stands_still(self) -> bool:
        """Whether its stamps have never changed."""
        return self.only_stamp is not None and self.count >= _SAME_STAMPS

    def note(self, stamp_ns: int, arrival_ns: int) -> None:
        self.count += 1
        if self.count == 1:
            self.only_stamp = stamp_ns
        elif stamp_ns != self.only_stamp:
            self.only_stamp = None
        self.history.append((stamp_ns, arrival_ns))

    def put(self, key: int, waiting: _Waiting[T]) -> None:
        if self.newest is None or key > self.newest:
            if self.newest is not None:
                self.periods.append(key - self.newest)
            self.newest = key
        if self.waiting.pop(key, None) is None:
            insort(self.keys, key)
        self.waiting[key] = waiting

    def take(self, key: int) -> _Waiting[T]:
        del self.keys[bisect_left(self.keys, key)]
        return self.waiting.pop(key)

    def oldest(self) -> tuple[int, _Waiting[T]] | None:
        """Key and message of what came first."""
        return next(iter(self.waiting.items()), None)

    def nearest(self, key: int) -> int | None:
        at = bisect_left(self.keys, key)
        return min(self.keys[max(0, at - 1) : at + 1], key=lambda other: abs(other - key), default=None)

    def forget(self) -> None:
        """What waits, and what the keys were like; not whether stamps stand still."""
        self.waiting.clear()
        self.keys.clear()
        self.periods.clear()
        self.newest = None


class Pairer(Generic[T]):
    """Collects messages until sets of one moment are complete.

    Args:
        slots: names of the streams; the first is the reference.
        slop_s: largest difference of stamps within a set, seconds.
        memory_s: how long a message waits for those it belongs to, seconds from its arrival.
        memory_bytes: how much waits at most, by the sizes that `push` is told.
        capacity: messages remembered per slot, however small.
        jump_s: a stamp this much below the newest one of its slot is a clock that jumped back.
        clock: time of arrival, nanoseconds.
    """

    def __init__(
        self,
        slots: Sequence[str],
        *,
        slop_s: float = 0.02,
        memory_s: float = 1.0,
        memory_bytes: int = 256 * 2**20,
        capacity: int = 1000,
        jump_s: float = 0.25,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._reference, *self._others = slots
        self.slop_s = slop_s
        self.memory_s = memory_s
        self._memory_bytes = memory_bytes
        self._jump_ns = round(jump_s * 1e9)
        self._capacity = capacity
        self._clock = clock
        self._slots: dict[str, _Slot[T]] = {slot: _Slot() for slot in slots}
        self._bytes = 0
        self._last_arrival_ns = 0
        self._by_arrival = False
        self._done: deque[int] = deque(maxlen=_STAMPS_KEPT)
        self._misses: deque[tuple[int, int]] = deque(maxlen=_MISSES_KEPT)

    def push(self, slot: str, stamp_ns: int, item: T, size: int = 0) -> Pushed[T]:
        """Take one message (of so many bytes) of a slot; returns the sets it completed, oldest first."""
        result: Pushed[T] = Pushed()
        arrival_ns = self._last_arrival_ns = max(self._clock(), self._last_arrival_ns + 1)  # no two are equal
        own, is_reference = self._slots[slot], slot == self._reference
        own.note(stamp_ns, arrival_ns)
        self._choose_keys(result)
        self._forget_the_old(arrival_ns, result)
        key = arrival_ns if self._by_arrival else stamp_ns
        if own.newest is not None and key < own.newest - self._jump_ns:
            self._forget_after(key + self._jump_ns)
            result.jumped_back = True
        if is_reference and key in self._done:
            result.drop(DUPLICATE)
            return result
        if key in own.waiting:
            self._bytes -= own.waiting[key].size
            result.drop(DUPLICATE, int(is_reference))
        affected = self._affected(slot, key)
        own.put(key, _Waiting(stamp_ns, arrival_ns, item, size))
        self._bytes += size
        result.pairs = self._complete(affected)
        while len(own.waiting) > self._capacity:
            self._give_up(slot, result)
        while self._bytes > self._memory_bytes:
            self._give_up(self._slot_of_the_oldest(), result)
        return result

    def reset(self) -> None:
        """Forget everything."""
        self._slots = {slot: _Slot() for slot in self._slots}
        self._bytes = 0
        self._by_arrival = False
        self._done.clear()
        self._misses.clear()

    def standing_still(self) -> list[str]:
        """Slots whose stamps have never changed: because of them, all are paired by time of arrival."""
        return [name for name, slot in self._slots.items() if slot.stands_still]

    def missed(self) -> Missed | None:
        """Of the references given up lately, the one that came nearest to a set; None when there was none.

        Where stamps would agree but messages come too late for each other, this tells how late.
        """
        since_ns = self._clock() - round((self.memory_s + _MISSES_LAST_S) * 1e9)
        found = []
        recent = [miss for miss in self._misses if miss[1] >= since_ns]
        for stamp_ns, arrival_ns in recent[:: -(-len(recent) // _MISSES_LOOKED_AT) or 1]:
            farthest = None
            for slot in self._others:
                near = min(self._slots[slot].history, key=lambda seen: abs(seen[0] - stamp_ns), default=None)
                if near is None:
                    return None  # nothing came at all: that is said elsewhere
                apart = Missed(slot, abs(near[0] - stamp_ns) * 1e-9, (near[1] - arrival_ns) * 1e-9)
                if farthest is None or _distance(apart) > _distance(farthest):
                    farthest = apart
            if farthest is not None:
                found.append(farthest)
        return min(found, key=_distance, default=None)

    def waiting(self) -> dict[str, int]:
        """Messages remembered per slot."""
        return {name: len(slot.waiting) for name, slot in self._slots.items()}

    @property
    def _slop_s(self) -> float:
        return max(self.slop_s, ARRIVAL_SLOP_S) if self._by_arrival else self.slop_s

    def _choose_keys(self, result: Pushed[T]) -> None:
        """By stamps or by time of arrival; what waits under keys of the other kind is given up."""
        by_arrival = any(slot.stands_still for slot in self._slots.values())
        if by_arrival == self._by_arrival:
            return
        self._by_arrival = by_arrival
        result.drop(UNPAIRED, len(self._slots[self._reference].waiting))
        for slot in self._slots.values():
            slot.forget()
        self._bytes = 0
        self._done.clear()

    def _forget_the_old(self, now_ns: int, result: Pushed[T]) -> None:
        limit_ns = now_ns - round(self.memory_s * 1e9)
        for name, slot in self._slots.items():
            while (oldest := slot.oldest()) is not None and oldest[1].arrival_ns < limit_ns:
                self._give_up(name, result)

    def _slot_of_the_oldest(self) -> str:
        arrivals = {name: oldest[1].arrival_ns for name, slot in self._slots.items() if (oldest := slot.oldest())}
        return min(arrivals, key=arrivals.__getitem__)

    def _give_up(self, name: str, result: Pushed[T]) -> None:
        """Forget what came first in a slot."""
        oldest = self._slots[name].oldest()
        if oldest is None:
            return
        given_up = self._slots[name].take(oldest[0])
        self._bytes -= given_up.size
        if name == self._reference:
            self._misses.append((given_up.stamp_ns, given_up.arrival_ns))
            result.drop(UNPAIRED)

    def _forget_after(self, limit_ns: int) -> None:
        for slot in self._slots.values():
            for key in [key for key in slot.keys if key > limit_ns]:
                self._bytes -= slot.take(key).size
            slot.periods.clear()
            slot.history.clear()
            if slot.newest is not None and slot.newest > limit_ns:
                slot.newest = slot.keys[-1] if slot.keys else None
        self._done.clear()
        self._misses.clear()

    def _affected(self, slot: str, key: int) -> list[int]:
        """References that a message of this key may complete; all others are as they were."""
        references, newest = self._slots[self._reference].keys, self._slots[slot].newest
        if slot == self._reference:
            return sorted({*references, key})  # the period has changed, and with it how near is near
        slop_ns = round(self._slop_s * 1e9)
        low = key - slop_ns if newest is None else min(key - slop_ns, newest)
        return references[bisect_left(references, low) : bisect_right(references, key + slop_ns)]

    def _complete(self, keys: list[int]) -> list[Pair[T]]:
        pairs = []
        references = self._slots[self._reference]
        for key in keys:
            partners: dict[str, int] = {}
            for slot in self._others:
                partner = self._partner(slot, key)
                if partner is None:
                    break
                partners[slot] = partner
            if len(partners) < len(self._others):
                continue
            reference = references.take(key)
            taken = {self._reference: reference} | {slot: self._slots[slot].take(at) for slot, at in partners.items()}
            self._bytes -= sum(one.size for one in taken.values())
            self._done.append(key)
            items = {slot: one.item for slot, one in taken.items()}
            pairs.append(Pair(reference.stamp_ns, items, self._by_arrival))
        return pairs

    def _partner(self, name: str, key: int) -> int | None:
        """Key of the message that goes with a reference, None while that cannot be told."""
        slot = self._slots[name]
        nearest = slot.nearest(key)
        if nearest is None or nearest == key:
            return nearest
        distance = abs(nearest - key)
        # Farther than half the reference's period, it belongs to the reference before or after.
        limits = [round(self._slop_s * 1e9), *(period // 2 for period in self._slots[self._reference].periods)]
        if distance > min(limits):
            return None
        settled = (slot.newest is not None and slot.newest > key) or (
            slot.periods and distance <= min(slot.periods) / 2
        )
        return nearest if settled else None


def _distance(missed: Missed) -> tuple[float, float]:
    return missed.stamps_apart_s, abs(missed.arrival_apart_s)
