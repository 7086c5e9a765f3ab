"""Which lines are worth a line: once, then now and then with a count; bounded, whatever comes."""

from __future__ import annotations

import os
import threading

import pytest

from tiae_ros.node.library_output import collected
from tiae_ros.node.repetitions import MOST_CAUSES, Repetitions


class Said:
    """A log with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lines: list[str] = []
        self._repetitions = Repetitions(clock=lambda: self.now)

    def frames(self, seconds: float, reason: str, *messages: str) -> None:
        for number in range(round(16 * seconds)):
            self.now += 1 / 16
            message = messages[number % len(messages)].format(n=number)
            if line := self._repetitions.line(reason, message):
                self.lines.append(line)


@pytest.fixture
def said():
    return Said()


def test_what_lasts_is_said_once_then_counted(said):
    said.frames(29, "colour image", "picture of {n} bytes, {n}x480, is neither jpeg nor png")
    assert said.lines == ["picture of 0 bytes, 0x480, is neither jpeg nor png"]
    said.frames(2, "colour image", "picture of {n} bytes, {n}x480, is neither jpeg nor png")
    assert len(said.lines) == 2
    assert said.lines[1].endswith("(479 times more in the last 30 s)")


@pytest.mark.parametrize("messages", [("one",), ("one", "two"), ("frame of {n} bytes", "one")])
def test_at_most_three_lines_a_minute_for_each_cause(said, messages):
    said.frames(600, "colour image", *messages)
    assert len(said.lines) <= len(messages) * (3 + 2 * 9)
    said.lines.clear()
    said.frames(60, "colour image", *messages)
    assert len(said.lines) <= 3 * len(messages)


def test_another_cause_is_said_at_once(said):
    said.frames(1, "colour image", "encoding 'yuv422' is unknown")
    said.frames(1, "colour image", "encoding 'yuv444' is unknown")
    said.frames(1, "depth image", "encoding 'yuv444' is unknown")
    said.frames(1, "colour image", "encoding 'yuv422' is unknown")
    assert [line.split()[1] for line in said.lines] == ["'yuv422'", "'yuv444'", "'yuv444'"]


def test_ever_new_causes_are_bounded_and_counted(said):
    for minute in range(10):
        said.lines.clear()
        said.frames(60, "colour image", *[f"encoding {chr(0x4E00 + 1000 * minute + i)}" for i in range(960)])
        assert len(said.lines) <= MOST_CAUSES
        assert ("others like it were not written down" in said.lines[0]) == (minute > 0)
    assert len(said._repetitions._causes) <= 256


def test_a_traceback_is_told_once(said):
    said.frames(31, "exception", "frame dropped by an exception: Traceback\n  line {n}\nValueError: bad")
    assert said.lines[0].count("\n") == 2
    assert said.lines[1] == "ValueError: bad (479 times more in the last 30 s)"


def test_lines_of_the_image_libraries_are_kept_from_the_log_and_no_others(capfd):
    def another_thread() -> None:
        os.write(2, b"[INFO] not the libraries'\n")

    with collected() as lines:
        os.write(2, b"Corrupt JPEG data: 58 extraneous bytes before marker 0xd9\n")
        thread = threading.Thread(target=another_thread)
        thread.start()
        thread.join()
        os.write(2, b"libpng error: IDAT: CRC error\n")
    assert lines == ["Corrupt JPEG data: 58 extraneous bytes before marker 0xd9", "libpng error: IDAT: CRC error"]
    with collected() as lines:
        pass
    assert lines == []
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "[INFO] not the libraries'\nafter\n"
