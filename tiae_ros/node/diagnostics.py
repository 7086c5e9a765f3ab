"""What the node knows of itself -> one diagnostic status that a person can act on.

OK      results are coming, or the node is told not to work
WARN    it works, but something is withheld, skipped or dropped
ERROR   somebody has to change something (configuration failed, frames that cannot be used)
STALE   no new result for max_age_s; the message says which input is missing, since when
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from tiae_ros.node.statistics import Snapshot
from tiae_ros.streams.pairing import UNPAIRED, Missed
from tiae_ros.vision.sight import FOLLOWED, WHOLE_PICTURE

RESULT = "result"
PAIR = "frame"
GRASP = "grasp"
"""A result with at least one grasp in it."""
CAMERA_INFO = "camera info"
CONFIGURATION_FAILED = "configuration failed"
"""How the line of a node begins that could not be configured."""
NEWER = "newer frame came"
"""Drop reason: the node was busy, newest wins."""


@dataclass
class Condition:
    """Everything that the status is made from."""

    state: str
    enabled: bool
    active_for_s: float
    max_age_s: float
    inputs: Mapping[str, str]
    """Input's name -> the topic it comes from."""
    counts: Snapshot
    configure_error: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Recent reasons somebody has to act on -> message."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    """Input's name -> why its publisher is not received; counts while nothing comes in on that input."""
    waiting_for: str = ""
    """What is missing before there are inputs at all."""
    missed: Missed | None = None
    """How near what was not paired lately came to it."""
    slop_s: float = 0.0
    pairing_memory_s: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)
    """Device, models, ..."""


_LEVELS = {
    "OK": DiagnosticStatus.OK,
    "WARN": DiagnosticStatus.WARN,
    "ERROR": DiagnosticStatus.ERROR,
    "STALE": DiagnosticStatus.STALE,
}


def assess(condition: Condition) -> tuple[str, str]:
    """(level, one line)."""
    if condition.configure_error:
        return "ERROR", f"{CONFIGURATION_FAILED}: {condition.configure_error}"
    if condition.state != "active":
        steps = {"unconfigured": "configure and activate it", "inactive": "activate it"}
        return "OK", f"{condition.state}: {steps.get(condition.state, 'start it again')} to get results"
    if not condition.enabled:
        return "OK", "switched off by ~/enable"
    counts = condition.counts
    # Before the first result, the time since activation counts.
    age = min(counts.ages_s.get(RESULT, condition.active_for_s), condition.active_for_s)
    silent = _silent_inputs(condition)
    faults = {**condition.faults, **{name: why for name, why in condition.unreachable.items() if name in silent}}
    if faults:
        return "ERROR", "; ".join(dict.fromkeys(faults.values()))
    if age > condition.max_age_s:
        return "STALE", f"no result for {age:.1f} s: {_what_is_missing(condition, silent)}"
    notes = [*condition.warnings.values()]
    if counts.recent_drops:
        notes.append("dropping frames: " + _listed(counts.recent_drops) + _apart(condition))
    if notes:
        return "WARN", "; ".join(notes)
    if not counts.totals.get(RESULT):
        return "OK", "waiting for the first images"
    rate, with_grasp = (counts.rates_hz.get(name, 0.0) for name in (RESULT, GRASP))
    return "OK", f"{rate:.1f} results/s, " + (f"{with_grasp:.1f} with a grasp" if with_grasp else "no grasp in sight")


def to_message(condition: Condition, name: str, hardware_id: str) -> DiagnosticArray:
    """The message for /diagnostics, without a stamp."""
    level, line = assess(condition)
    status = DiagnosticStatus(level=_LEVELS[level], name=name, hardware_id=hardware_id, message=line)
    for key, value in values(condition).items():
        status.values.append(KeyValue(key=key, value=value))
    return DiagnosticArray(status=[status])


def values(condition: Condition) -> dict[str, str]:
    """The table behind the line."""
    counts = condition.counts
    table = {"state": condition.state, "enabled": str(condition.enabled).lower(), **condition.facts}
    for name, topic in condition.inputs.items():
        rate = counts.rates_hz.get(name, 0.0)
        table[f"{name} rate"] = f"{rate:.1f} Hz ({topic})"
    table["pairing rate"] = f"{counts.rates_hz.get(PAIR, 0.0):.1f} Hz"
    table["result rate"] = f"{counts.rates_hz.get(RESULT, 0.0):.1f} Hz"
    table["rate of results with a grasp"] = f"{counts.rates_hz.get(GRASP, 0.0):.1f} Hz"
    age = counts.ages_s.get(RESULT)
    table["age of last result"] = f"{age:.2f} s" if age is not None else "none yet"
    for name, (median, worst) in counts.latency_ms.items():
        table[f"{name} p50 / p99"] = f"{median:.1f} / {worst:.1f} ms"
    table["frames in"] = str(counts.totals.get(PAIR, 0))
    table["results"] = str(counts.totals.get(RESULT, 0))
    for road in (WHOLE_PICTURE, FOLLOWED):
        if road in counts.totals:
            table[f"hands looked for: {road}"] = str(counts.totals[road])
    table["dropped"] = str(sum(counts.drops.values()))
    for reason, number in sorted(counts.drops.items()):
        table[f"dropped: {reason}"] = str(number)
    return table


def _silent_inputs(condition: Condition) -> dict[str, str]:
    """Input's name -> since when nothing has come on it; inputs that the node can do without are left out."""
    silent = {}
    for name, topic in condition.inputs.items():
        age = condition.counts.ages_s.get(name)
        if name == CAMERA_INFO:
            continue
        if age is None:
            silent[name] = f"no {name} on {topic} since activation"
        elif age > condition.max_age_s:
            silent[name] = f"no {name} on {topic} for {age:.1f} s"
    return silent


def _what_is_missing(condition: Condition, silent: Mapping[str, str]) -> str:
    if condition.waiting_for:
        return condition.waiting_for
    if silent:
        return ", ".join(silent.values())
    if condition.counts.recent_drops:
        return "every frame is dropped (" + _listed(condition.counts.recent_drops) + ")" + _apart(condition)
    return "images come, but none of them belong to one moment" + _apart(condition)


def _apart(condition: Condition) -> str:
    missed = condition.missed
    if missed is None or not (condition.counts.recent_drops.get(UNPAIRED) or not condition.counts.recent_drops):
        return ""
    if missed.stamps_apart_s <= condition.slop_s and abs(missed.arrival_apart_s) > condition.pairing_memory_s:
        hint = f"; pairing_memory_s is {condition.pairing_memory_s:g} s"
    else:
        hint = ""
    return f"; {missed.told(condition.slop_s)}{hint}"


def _listed(drops: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {number}x" for reason, number in sorted(drops.items()))
