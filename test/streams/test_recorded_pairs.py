"""Pairs of a whole recording: by stamps, wherever in the file the messages lie."""

from __future__ import annotations

import random
import struct
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiae_ros.streams.recorded_messages import RecordedMessages, header_stamp_ns
from tiae_ros.streams.recorded_pairs import pair_recorded

MS = 1_000_000


def moments(*stamps_and_arrivals):
    """(stamp, arrival) in nanoseconds, of milliseconds."""
    return [(round(stamp * MS), round(arrival * MS)) for stamp, arrival in stamps_and_arrivals]


def camera(count, *, stamp=0.0, arrival=0.0, period=33.3):
    return moments(*((i * period + stamp, i * period + arrival) for i in range(count)))


def same(count):
    return [{"color": i, "depth": i} for i in range(count)]


@pytest.mark.parametrize("late_ms", [0, 400, 5000, 3_600_000])
def test_how_late_depth_was_recorded_does_not_matter(late_ms):
    pairs = pair_recorded({"color": camera(50), "depth": camera(50, arrival=late_ms)})
    assert pairs.sets == same(50)
    assert pairs.told() == []


@given(st.integers(0, 2**32))
def test_the_order_of_recording_does_not_matter(seed):
    chance = random.Random(seed)
    order = chance.sample(range(40), 40)
    depth = camera(40, stamp=7)
    pairs = pair_recorded({"color": camera(40), "depth": [depth[i] for i in order]})
    assert pairs.sets == [{"color": i, "depth": order.index(i)} for i in range(40)]


def test_stamps_outside_the_slop_tell_both_distances():
    recorded = {"color": camera(20, period=66), "depth": camera(20, period=66, stamp=25, arrival=3)}
    pairs = pair_recorded(recorded, slop_s=0.02)
    assert (pairs.sets, pairs.unpaired) == ([], 20)
    assert pairs.told() == [
        "20 of 20 color images have no depth image of their moment: depth: the nearest stamps are 0.025 s apart "
        "(slop 0.02 s), it comes 0.003 s later"
    ]
    assert pair_recorded(recorded, slop_s=0.03).sets == same(20)


@pytest.mark.parametrize("still", [("color", "depth"), ("depth",), ("color",)])
def test_stamps_that_never_change_fall_back_to_the_time_of_recording(still):
    recorded = {"color": camera(12), "depth": camera(12, arrival=4)}
    for slot in still:
        recorded[slot] = [(0, arrival) for _, arrival in recorded[slot]]
    pairs = pair_recorded(recorded)
    assert pairs.sets == same(12)
    assert pairs.moments_ns == [arrival for _, arrival in recorded["color"]]
    assert f"stamps of {' and '.join(still)} never change" in pairs.told()[0]


def test_a_lost_depth_takes_no_other_place():
    depth = camera(10, stamp=5)
    del depth[4]
    pairs = pair_recorded({"color": camera(10), "depth": depth}, slop_s=0.2)
    assert [numbers["color"] for numbers in pairs.sets] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert "1 of 10 color images" in pairs.told()[0]


def test_the_nearest_go_together_and_each_once():
    recorded = {"color": moments((100, 100)), "depth": moments((90, 90), (99, 99), (104, 104))}
    assert pair_recorded(recorded).sets == [{"color": 0, "depth": 1}]
    two = {"color": moments((100, 100), (100, 101)), "depth": moments((100, 100))}
    pairs = pair_recorded(two)
    assert pairs.unpaired == 1 or pairs.standing_still


def test_a_recorded_loop_pairs_each_round_with_itself():
    """The same stamps again and again, as a player in a loop sends them."""
    loop = [(i * 33, i * 33 + 1000 * number) for number in range(20) for i in range(10)]
    pairs = pair_recorded({"color": moments(*loop), "depth": moments(*((s, a + 2) for s, a in loop))})
    assert pairs.sets == same(200)


def test_four_streams():
    recorded = {"color": camera(6), "depth": camera(6), "hand_mask": camera(6, arrival=900), "object_mask": camera(5)}
    pairs = pair_recorded(recorded)
    assert len(pairs.sets) == 5
    assert "no object_mask image" in pairs.told()[0]


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=30), st.data())
def test_any_stamps_give_pairs_within_the_slop(color, data):
    depth = data.draw(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=30))
    pairs = pair_recorded({"color": color, "depth": depth})
    assert len({numbers["depth"] for numbers in pairs.sets}) == len(pairs.sets)
    assert pairs.unpaired + len(pairs.sets) == len(color)
    if not pairs.standing_still:
        for numbers in pairs.sets:
            assert abs(color[numbers["color"]][0] - depth[numbers["depth"]][0]) <= 20 * MS
    pairs.told()


def test_a_stamp_is_read_without_the_message():
    little = b"\0\1\0\0" + struct.pack("<iI", 12, 34) + bytes(100)
    big = b"\0\0\0\0" + struct.pack(">iI", -1, 34)
    assert header_stamp_ns(little) == 12_000_000_034
    assert header_stamp_ns(big) == -1_000_000_000 + 34
    assert header_stamp_ns(b"\0\1\0\0abc") == 0


def test_messages_are_taken_in_another_order_than_they_were_recorded():
    messages = [SimpleNamespace(data=bytes(10), number=i) for i in range(6)]
    wanted = [3, 1, 5]
    taken = RecordedMessages(iter(messages), wanted)
    assert [taken.take(number).number for number in wanted] == wanted
    assert taken.take(0) is None
    assert taken.take(9) is None
    few = RecordedMessages(iter(messages), [5, 0, 1, 2], most_bytes=25)
    assert few.take(5).number == 5
    assert [few.take(number) is None for number in (0, 1, 2)] == [True, False, False]
