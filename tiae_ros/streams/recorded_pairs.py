"""Recorded messages of several streams -> sets that belong to one moment.

Other than `tiae_ros.streams.pairing`, which has to decide while messages come in, this looks at the stamps of a whole
recording first: how late a message was recorded does not matter then, and neither does the order. Stamps are all it
needs, so the images need not be in memory.

    pairs = pair_recorded({"color": [(stamp_ns, arrival_ns), ...], "depth": [...]}, slop_s=0.02)
    for numbers in pairs.sets:        # {"color": 0, "depth": 2}: places in these lists
        ...
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tiae_ros.streams.pairing import ARRIVAL_SLOP_S, Missed

Moment = tuple[int, int]
"""Stamp and time of recording of a message, nanoseconds."""

_NEIGHBOURS = 8  # on either side; more than two are needed only where several messages have one stamp


@dataclass
class RecordedPairs:
    """The sets of a recording, and what is left."""

    sets: list[dict[str, int]]
    """Slot -> number of its message, in the order in which the references were recorded."""
    moments_ns: list[int]
    """When each set was: its reference's stamp or, where stamps never change, time of recording."""
    counts: dict[str, int]
    """Messages per slot."""
    slop_s: float
    standing_still: tuple[str, ...]
    """Slots whose stamps never change: because of them, all are paired by time of recording."""
    missed: Missed | None
    """The median distance of the references without a partner; None when all have one."""
    too_far_apart: int = 0
    """Sets that were left out while reading: so much lies between their messages that it does not fit into memory."""

    @property
    def unpaired(self) -> int:
        """References without a partner."""
        return next(iter(self.counts.values())) - len(self.sets)

    def told(self) -> list[str]:
        """One line for people about each thing that they should know; empty when all is well."""
        lines = []
        if self.standing_still:
            lines.append(
                f"stamps of {' and '.join(self.standing_still)} never change: paired by the time of recording; let the "
                "driver stamp its images"
            )
        if self.missed is not None:
            reference = next(iter(self.counts))
            lines.append(
                f"{self.unpaired} of {self.counts[reference]} {reference} images have no {self.missed.slot} image of "
                f"their moment: {self.missed.told(self.slop_s)}"
            )
        for slot, count in list(self.counts.items())[1:]:
            if self.missed is None and count > len(self.sets) and not self.standing_still:
                reference = next(iter(self.counts))
                lines.append(
                    f"{count - len(self.sets)} of {count} {slot} images have no {reference} image of their moment"
                )
        if self.too_far_apart:
            lines.append(
                f"{self.too_far_apart} pairs were left out: their images were recorded in so different an order that "
                "they do not fit into memory"
            )
        return lines


def pair_recorded(recorded: Mapping[str, Sequence[Moment]], slop_s: float = 0.02) -> RecordedPairs:
    """Sets of one message of each slot; the first slot is the reference.

    Each message is in one set at most, the nearest stamps go together first, and of equal stamps those that were
    recorded nearest to each other. What is farther away than the slop, or than half the reference's usual period, does
    not belong together.
    """
    reference, *others = recorded
    counts = {slot: len(moments) for slot, moments in recorded.items()}
    standing_still = tuple(
        slot for slot, moments in recorded.items() if len(moments) > 1 and len({stamp for stamp, _ in moments}) == 1
    )
    keyed = recorded
    if standing_still:
        keyed = {slot: [(arrival, arrival) for _, arrival in moments] for slot, moments in recorded.items()}
        slop_s = max(slop_s, ARRIVAL_SLOP_S)
    references = keyed[reference]
    limit_ns = round(slop_s * 1e9)
    if (period := _usual_period_ns(references)) is not None:
        limit_ns = min(limit_ns, period // 2)
    partners = {slot: _partners(references, keyed[slot], limit_ns) for slot in others}
    whole = [number for number in range(len(references)) if all(number in found for found in partners.values())]
    return RecordedPairs(
        sets=[{reference: number, **{slot: found[number] for slot, found in partners.items()}} for number in whole],
        moments_ns=[references[number][0] for number in whole],
        counts=counts,
        slop_s=slop_s,
        standing_still=standing_still,
        missed=_missed(recorded, partners, references=recorded[reference]),
    )


def _usual_period_ns(moments: Sequence[Moment]) -> int | None:
    stamps = sorted({stamp for stamp, _ in moments})
    if len(stamps) < 3:
        return None
    return round(median(later - earlier for earlier, later in pairwise(stamps)))


def _partners(references: Sequence[Moment], others: Sequence[Moment], limit_ns: int) -> dict[int, int]:
    """Number of a reference -> number of its partner."""
    order = sorted(range(len(others)), key=others.__getitem__)
    keys = [others[number] for number in order]
    candidates = []
    for number, (stamp, arrival) in enumerate(references):
        at = bisect_left(keys, (stamp, arrival))
        for place in range(max(0, at - _NEIGHBOURS), min(len(keys), at + _NEIGHBOURS)):
            distance = abs(keys[place][0] - stamp)
            if distance <= limit_ns:
                candidates.append((distance, abs(keys[place][1] - arrival), number, order[place]))
    candidates.sort()
    partners: dict[int, int] = {}
    taken = set()
    for _, _, number, other in candidates:
        if number not in partners and other not in taken:
            partners[number] = other
            taken.add(other)
    return partners


def _missed(
    recorded: Mapping[str, Sequence[Moment]], partners: Mapping[str, Mapping[int, int]], references: Sequence[Moment]
) -> Missed | None:
    """The median distance of what has no partner, of the slot in which most have none."""
    slot = max(partners, key=lambda name: len(references) - len(partners[name]))
    others = sorted(recorded[slot])
    if not others:
        return None
    apart = []
    for number, (stamp, arrival) in enumerate(references):
        if number in partners[slot]:
            continue
        at = bisect_left(others, (stamp, arrival))
        near = min(others[max(0, at - 1) : at + 1], key=lambda other: abs(other[0] - stamp))
        apart.append((abs(near[0] - stamp), near[1] - arrival))
    if not apart:
        return None
    stamps, arrival = sorted(apart)[len(apart) // 2]
    return Missed(slot, stamps * 1e-9, arrival * 1e-9)
