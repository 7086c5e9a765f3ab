"""Messages of several streams -> sets of one moment."""

import itertools
import random

import pytest
from hypothesis import given
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
def test_any_stamps_leave_it_bounded(messages):
    pairer = Pairer(("color", "depth"), slop_s=0.02, capacity=5)
    for slot, stamp in messages:
        for pair in pairer.push(slot, stamp, stamp).pairs:
            assert abs(pair.items["color"] - pair.items["depth"]) <= 20 * MS
            assert pair.stamp_ns == pair.items["color"]
        assert all(count <= 5 for count in pairer.waiting().values())
