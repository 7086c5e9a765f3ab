"""Messages of several streams -> sets of one moment."""

import itertools
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiae_ros.streams.pairing import DUPLICATE, UNPAIRED, Pairer

MS = 1_000_000


def feed(pairer, messages):
    """Push (slot, stamp in ms) in order; returns the stamps (ms) of each set as a tuple per slot."""
    found = []
    for slot, stamp in messages:
        for pair in pairer.push(slot, round(stamp * MS), stamp).pairs:
            found.append(tuple(pair.items.values()))
    return found


def test_exact_stamps_pair_at_once_whichever_comes_first():
    pairer = Pairer(("color", "depth"))
    assert feed(pairer, [("color", 0), ("depth", 0)]) == [(0, 0)]
    assert feed(pairer, [("depth", 33), ("color", 33)]) == [(33, 33)]


def test_exact_stamp_wins_over_a_near_one():
    pairer = Pairer(("color", "depth"), slop_s=0.05)
    assert feed(pairer, [("depth", 90), ("depth", 100), ("depth", 110), ("color", 100)]) == [(100, 100)]


def test_nearest_waits_until_no_nearer_can_come():
    pairer = Pairer(("color", "depth"), slop_s=0.02)
    assert feed(pairer, [("depth", 90), ("color", 100)]) == []  # 105 could still come
    assert feed(pairer, [("depth", 105)]) == [(100, 105)]


def test_constant_offset_costs_no_latency_with_known_period():
    pairer = Pairer(("color", "depth"), slop_s=0.02)
    stamps = [("depth", 0), ("color", 5), ("depth", 33), ("color", 38), ("depth", 66)]
    feed(pairer, stamps)
    assert feed(pairer, [("color", 71)]) == [(71, 66)]


def test_outside_the_slop_memory_stays_bounded():
    pairer = Pairer(("color", "depth"), slop_s=0.005, capacity=4)
    dropped = 0
    for index in range(100):
        dropped += pairer.push("color", index * 100 * MS, None).dropped.get(UNPAIRED, 0)
        assert not pairer.push("depth", (index * 100 + 50) * MS, None).pairs
    assert dropped == 96
    assert pairer.waiting() == {"color": 4, "depth": 4}


def test_a_lost_depth_takes_no_other_place():
    pairer = Pairer(("color", "depth"), slop_s=0.02)
    feed(pairer, [(slot, i * 16) for i in range(4) for slot in ("color", "depth")])
    assert feed(pairer, [("color", 64), ("depth", 80), ("color", 80)]) == [(80, 80)]


@pytest.mark.parametrize("order", [*itertools.permutations(["color", "depth", "hand_mask", "object_mask"])])
def test_four_streams_in_any_order(order):
    pairer = Pairer(("color", "depth", "hand_mask", "object_mask"))
    assert feed(pairer, [(slot, 7) for slot in order]) == [(7, 7, 7, 7)]


def test_duplicates_are_counted_once_and_not_paired_twice():
    pairer = Pairer(("color", "depth"))
    assert feed(pairer, [("color", 1), ("depth", 1)]) == [(1, 1)]
    again = pairer.push("color", 1 * MS, 1)
    assert again.pairs == []
    assert again.dropped == {DUPLICATE: 1}
    assert feed(pairer, [("depth", 1)]) == []


def test_backward_jump_forgets_the_future():
    pairer = Pairer(("color", "depth"))
    feed(pairer, [(slot, 10_000 + i * 33) for i in range(5) for slot in ("color", "depth")])
    feed(pairer, [("color", 10_165)])  # its depth never comes
    first = pairer.push("color", 0, "c")
    assert first.jumped_back
    assert [pair.stamp_ns for pair in pairer.push("depth", 0, "d").pairs] == [0]
    assert pairer.waiting() == {"color": 0, "depth": 0}


def test_a_bag_loop_pairs_the_same_stamps_again():
    pairer = Pairer(("color", "depth"))
    loop = [(slot, i * 66) for i in range(10) for slot in ("color", "depth")]
    assert len(feed(pairer, loop)) == len(feed(pairer, loop)) == 10


def test_a_future_stamp_costs_only_its_message():
    pairer = Pairer(("color", "depth"))
    messages = [("color", 0), ("depth", 0), ("color", 3_600_000), ("depth", 33), ("color", 33)]
    assert feed(pairer, messages) == [(0, 0), (33, 33)]


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_order_of_arrival_does_not_matter(seed, block):
    """Messages shuffled within blocks of the remembered length: each pair is found exactly once."""
    chance = random.Random(seed)
    pairer = Pairer(("color", "depth"), capacity=8)
    found = []
    for start in range(0, 20 * block, block):
        messages = [(slot, (start + i) * 33) for i in range(block) for slot in ("color", "depth")]
        chance.shuffle(messages)
        found += feed(pairer, messages)
    assert sorted(found) == [(i * 33, i * 33) for i in range(20 * block)]


@given(st.lists(st.tuples(st.sampled_from(["color", "depth"]), st.integers(0, 2**62)), max_size=80))
@example([("color", 20 * MS + 1)] * 3 + [("depth", 0)])
def test_any_stamps_leave_it_bounded(messages):
    """Stamps of a pair are within the slop, unless those of a stream have never changed: then they say nothing."""
    pairer = Pairer(("color", "depth"), slop_s=0.02, capacity=5)
    seen = {"color": [], "depth": []}
    for slot, stamp in messages:
        seen[slot].append(stamp)
        for pair in pairer.push(slot, stamp, stamp).pairs:
            if pair.by_arrival:
                assert any(len(stamps) >= 3 and len(set(stamps)) == 1 for stamps in seen.values())
            else:
                assert abs(pair.items["color"] - pair.items["depth"]) <= 20 * MS
            assert pair.stamp_ns == pair.items["color"]
        assert all(count <= 5 for count in pairer.waiting().values())


class Arriving:
    """A pairer with a clock of its own."""

    def __init__(self, *slots, **settings):
        self.now_ms = 0.0
        self.pairer = Pairer(slots or ("color", "depth"), clock=lambda: round(self.now_ms * MS), **settings)
        self.pairs, self.dropped = [], {}

    def push(self, at_ms, slot, stamp_ms, size=0):
        self.now_ms = at_ms
        pushed = self.pairer.push(slot, round(stamp_ms * MS), (slot, stamp_ms), size)
        self.pairs += pushed.pairs
        for reason, count in pushed.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count


@pytest.mark.parametrize(("memory_s", "found"), [(1.0, 90), (0.3, 0)])
def test_masks_that_come_later_pair_as_long_as_the_memory_reaches(memory_s, found):
    """At 30 Hz and 0.4 s, twelve colour images wait."""
    stream = Arriving("color", "hand_mask", memory_s=memory_s)
    moments = [(i * 33.3, "color", i * 33.3) for i in range(90)]
    for at, slot, stamp in sorted([*moments, *((at + 400, "hand_mask", at) for at, _, _ in moments)]):
        stream.push(at, slot, stamp)
    assert len(stream.pairs) == found
    assert stream.dropped.get(UNPAIRED, 0) >= (0 if found else 75)
    if not found:
        missed = stream.pairer.missed()
        assert missed.slot == "hand_mask"
        assert missed.stamps_apart_s == 0
        assert missed.arrival_apart_s == pytest.approx(0.4, abs=0.01)
        assert "it comes 0.400 s later" in missed.told(0.02)


def test_stamps_apart_and_arrival_apart_are_told_separately():
    stream = Arriving(slop_s=0.02)
    for i in range(40):
        stream.push(i * 66, "color", i * 66)
        stream.push(i * 66 + 3, "depth", i * 66 + 25)
    missed = stream.pairer.missed()
    assert (missed.stamps_apart_s, missed.arrival_apart_s) == pytest.approx((0.025, 0.003), abs=1e-3)
    stream.now_ms += 60_000
    assert stream.pairer.missed() is None  # long ago


@pytest.mark.parametrize("still", [("color", "depth"), ("depth",), ("color",)])
def test_stamps_that_never_change_fall_back_to_the_time_of_arrival(still):
    stream = Arriving()
    for i in range(30):
        for slot, at in (("color", i * 33.0), ("depth", i * 33.0 + 4)):
            stream.push(at, slot, 0 if slot in still else i * 33.0)
    assert stream.pairer.standing_still() == [slot for slot in ("color", "depth") if slot in still]
    assert len(stream.pairs) >= 26
    assert all(pair.by_arrival for pair in stream.pairs[1:])
    assert not any(stream.pairer.missed().stamps_apart_s for _ in still if stream.pairer.missed())


def test_stamps_that_change_at_last_are_used_again():
    stream = Arriving()
    for i in range(10):
        for slot in ("color", "depth"):
            stream.push(i * 33, slot, 0)
    for i in range(10, 20):
        for slot in ("color", "depth"):
            stream.push(i * 33, slot, i * 33)
    assert stream.pairer.standing_still() == []
    assert [pair.stamp_ns for pair in stream.pairs[-9:]] == [i * 33 * MS for i in range(11, 20)]
    assert not stream.pairs[-1].by_arrival


def test_a_stream_that_stops_is_not_paired_by_arrival():
    """A driver that sends its last image again and again must not pass for a camera."""
    stream = Arriving()
    for i in range(60):
        stream.push(i * 33, "color", i * 33)
        stream.push(i * 33 + 1, "depth", min(i, 9) * 33)
    assert len(stream.pairs) == 10
    assert stream.pairer.standing_still() == []


def test_memory_is_bounded_in_bytes():
    stream = Arriving(memory_s=10.0, memory_bytes=1000)
    for i in range(100):
        stream.push(i * 10, "color", i * 10, size=90)
        stream.push(i * 10, "depth", i * 10 + 50_000, size=60)
        assert sum(size * n for size, n in zip((90, 60), stream.pairer.waiting().values(), strict=True)) <= 1000
    stream.push(1000, "color", 1000, size=5000)  # more than is allowed at once
    assert stream.dropped[UNPAIRED] >= 90


def test_what_waited_too_long_is_forgotten_in_every_slot():
    stream = Arriving(memory_s=0.5)
    for slot in ("color", "depth"):
        stream.push(0, slot, 0 if slot == "color" else 77)
    stream.push(600, "color", 600)
    assert stream.pairer.waiting() == {"color": 1, "depth": 0}
    assert stream.dropped == {UNPAIRED: 1}
