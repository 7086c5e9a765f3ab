"""The last seconds of messages, with a clock of the test's own."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from tiae_ros.view.moment import assemble
from tiae_ros.view.recent import Arrived, Messages, Recent

IMAGE = "sensor_msgs/msg/Image"


def stored(stamp_ns: int, size: int = 12) -> bytes:
    """The beginning of a message with a header."""
    head = bytes([0, 1, 0, 0]) + struct.pack("<iI", *divmod(stamp_ns, 10**9))
    return head.ljust(size, b"\0")


@pytest.fixture
def clock():
    return [0]


def recent_of(clock, **options):
    return Recent(now_ns=lambda: clock[0], **options)


def test_only_the_last_seconds_are_kept(clock):
    recent = recent_of(clock)
    for clock[0] in range(0, 5 * 10**9, 10**9):
        recent.add("/a", IMAGE, stored(clock[0]))
    assert [one.stamp_ns for one in recent.all()] == [2 * 10**9, 3 * 10**9, 4 * 10**9]
    assert recent.rates_hz() == {"/a": pytest.approx(1.5)}
    messages = recent.by_topic()
    assert messages.newest("/a").stamp_ns == 4 * 10**9
    assert messages.at("/a", 3 * 10**9).time_ns == 3 * 10**9
    assert messages.at("/a", 7) is messages.newest("/b") is None


def test_memory_is_bounded(clock):
    recent = recent_of(clock, most_bytes=1000)
    for clock[0] in range(100):
        recent.add("/a", IMAGE, stored(clock[0], 300))
    assert [one.time_ns for one in recent.all()] == [97, 98, 99]
    recent.add("/a", IMAGE, stored(1, 2000))  # one that is larger than all
    assert recent.all() == []


def test_pausing_keeps_what_there_is(clock):
    recent = recent_of(clock)
    recent.add("/a", IMAGE, stored(1))
    recent.paused = True
    clock[0] = 60 * 10**9
    recent.add("/a", IMAGE, stored(2))
    assert [one.stamp_ns for one in recent.all()] == [1]


def test_a_clock_that_is_set_back_begins_anew(clock):
    recent = recent_of(clock)
    clock[0] = 10**9
    recent.add("/a", IMAGE, stored(1))
    clock[0] = 0
    recent.add("/a", IMAGE, stored(2))
    assert [one.stamp_ns for one in recent.all()] == [2]


def test_a_text_has_no_stamp(clock):
    recent = recent_of(clock)
    recent.add("/name", "std_msgs/msg/String", stored(77))
    assert recent.all()[0].stamp_ns == 0


def test_what_others_publish_under_the_nodes_names_is_a_fault():
    """The page goes on with the rest."""

    def mask(size):
        pixels = np.zeros((size, size), np.uint8)
        return SimpleNamespace(
            width=size, height=size, step=size, encoding="mono8", is_bigendian=0, data=pixels.tobytes()
        )

    points = SimpleNamespace(width=1, point_step=12, data=bytes(12), fields=[SimpleNamespace(name="x")])
    for told, messages in (
        ("grasps lack confidence, descriptor, shift, y, z", {"/n/grasps": points}),
        ("restored masks have the shapes", {"/n/restored/hand_mask": mask(32), "/n/restored/object_mask": mask(16)}),
        ("accepted", {"/n/segmentation": SimpleNamespace(**{**vars(mask(4)), "encoding": "none"})}),
    ):
        recent = Messages([Arrived(name, IMAGE, 0, stored(5)) for name in ("/color", *messages)])
        color = SimpleNamespace(**{**vars(mask(8)), "header": SimpleNamespace(frame_id="")})
        moment = assemble(
            recent, {"colour": "/color"}, "/n", lambda one, m=messages, c=color: m.get(one.topic, c), 1e-3
        )
        assert told in moment.faults[0]
        assert moment.color.shape == (8, 8, 3)
