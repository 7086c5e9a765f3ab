"""The one line and the level that an operator sees, for each state of affairs, and the counts behind them."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from diagnostic_msgs.msg import DiagnosticStatus

from tiae_ros.node.diagnostics import CAMERA_INFO, GRASP, NEWER, PAIR, RESULT, Condition, assess, to_message
from tiae_ros.node.statistics import Statistics
from tiae_ros.streams.pairing import Missed

INPUTS = {"colour": "/color/image", "depth": "/depth/image", CAMERA_INFO: "/color/camera_info"}


class Running:
    """Statistics with a clock of their own: images come eight times a second until they are told not to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.statistics = Statistics(clock=lambda: self.now)

    def frames(self, seconds: float, *events: str, drop: str = "") -> None:
        for _ in range(round(8 * seconds)):
            self.now += 0.125
            for name in events:
                self.statistics.event(name)
            if drop:
                self.statistics.drop(drop)

    def condition(self, **changes: object) -> Condition:
        self.now += 0.01
        fields = {"state": "active", "enabled": True, "active_for_s": self.now - 100, "max_age_s": 1.0,
                  "inputs": INPUTS, "counts": self.statistics.snapshot()}  # fmt: skip
        return Condition(**(fields | changes))


@pytest.fixture
def running():
    """Everything is well."""
    one = Running()
    one.frames(5, *INPUTS, PAIR, RESULT, GRASP)
    return one


def test_all_is_well(running):
    assert assess(running.condition()) == ("OK", "8.0 results/s, 8.0 with a grasp")
    running.frames(4, *INPUTS, PAIR, RESULT)
    assert assess(running.condition()) == ("OK", "8.0 results/s, no grasp in sight")


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"state": "unconfigured"}, "OK", "unconfigured: configure and activate it"),
        ({"state": "inactive"}, "OK", "inactive: activate it to get results"),
        ({"state": "unconfigured", "configure_error": "there is no model"}, "ERROR", "failed: there is no model"),
        ({"enabled": False}, "OK", "switched off by ~/enable"),
        ({"warnings": {"camera info": "fx = 0"}}, "WARN", "fx = 0"),
        ({"faults": {"sizes": "depth is 320x200"}, "warnings": {"a": "b"}}, "ERROR", "depth is 320x200"),
    ],
)
def test_states_warnings_and_faults(running, changes, level, text):
    got, line = assess(running.condition(**changes))
    assert got == level
    assert text in line


def test_a_silent_camera_is_stale(running):
    running.now += 2.49
    level, line = assess(running.condition())
    assert level == "STALE"
    assert line == "no result for 2.5 s: no colour on /color/image for 2.5 s, no depth on /depth/image for 2.5 s"


def test_incompatible_qos_is_an_error_while_silent(running):
    reason = {"depth": "a publisher of /depth/image offers an incompatible QoS policy: RELIABILITY"}
    assert assess(running.condition(unreachable=reason))[0] == "OK"  # another publisher is heard
    running.frames(60, "colour", CAMERA_INFO)
    assert assess(running.condition(unreachable=reason)) == ("ERROR", reason["depth"])


def test_stamps_that_never_meet_tell_their_distance(running):
    running.frames(5, *INPUTS, drop="unpaired")
    times = {"slop_s": 0.02, "pairing_memory_s": 1.0}
    level, line = assess(running.condition(missed=Missed("depth", 0.0433, 0.002), **times))
    assert level == "STALE"
    told = "(unpaired 24x); depth: the nearest stamps are 0.043 s apart (slop 0.02 s), it comes 0.002 s later"
    assert line.endswith(told)
    _, late = assess(running.condition(missed=Missed("depth", 0.0, 1.8), **times))
    assert late.endswith("are 0.000 s apart (slop 0.02 s), it comes 1.800 s later; pairing_memory_s is 1 s")


def test_dropping_frames_is_a_warning_with_the_reasons(running):
    running.frames(2, *INPUTS, PAIR, RESULT, drop=NEWER)
    assert assess(running.condition()) == ("WARN", f"dropping frames: {NEWER} 16x")


def test_the_table_has_rates_ages_latencies_and_drops(running):
    running.statistics.latency("network", 0.004)
    running.statistics.drop("sizes", 3)
    message = to_message(running.condition(facts={"device": "cpu", "model": "grasp"}), "tiae: perception", "cpu")
    (status,) = message.status
    assert (status.level, status.name, status.hardware_id) == (DiagnosticStatus.WARN, "tiae: perception", "cpu")
    table = {value.key: value.value for value in status.values}
    assert table["colour rate"] == "8.0 Hz (/color/image)"
    assert table["pairing rate"] == table["result rate"] == "8.0 Hz"
    assert table["age of last result"] == "0.01 s"
    assert table["network p50 / p99"] == "4.0 / 4.0 ms"
    assert table["dropped"] == table["dropped: sizes"] == "3"
    assert (table["device"], table["model"]) == ("cpu", "grasp")


def test_rates_latencies_and_drops_by_hand():
    now = [100.0]
    counts = Statistics(clock=lambda: now[0])
    for _ in range(30):
        now[0] += 0.1
        counts.event("colour")
        counts.latency("network", 0.002)
    counts.latency("network", 0.010)
    counts.drop("too old")
    now[0] += 0.5
    snapshot = counts.snapshot()
    assert snapshot.rates_hz["colour"] == pytest.approx(25 / 3, abs=0.5)
    assert snapshot.ages_s["colour"] == pytest.approx(0.5)
    assert snapshot.totals["colour"] == 30
    assert snapshot.latency_ms["network"] == pytest.approx((2.0, 10.0))
    assert snapshot.drops == snapshot.recent_drops == {"too old": 1}
    now[0] += 60
    later = counts.snapshot()
    assert later.rates_hz["colour"] == 0
    assert later.recent_drops == {}
    assert later.drops == {"too old": 1}
