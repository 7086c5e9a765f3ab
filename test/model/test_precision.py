"""Which numbers a machine is quickest with: what the processor says, and what a trial says where it says nothing."""

import numpy as np

from tiae_ros.model.precision import cpu_flags, quickest


def graph(score):
    """The score of the second class, against 1 of the first."""
    return lambda planes: [np.stack([np.full_like(planes[:, 0], value) for value in (1, score)], 1)]


def test_the_only_precision_is_not_tried():
    assert quickest({"int8": None}, (1, 2, 8, 8), deviation=1.0) == "int8"


def test_8_bits_that_say_something_else_are_not_taken():
    assert quickest({"float32": graph(5.0), "int8": graph(0.0)}, (1, 2, 8, 8), deviation=1.0) == "float32"


def test_cpu_flags_are_read_or_empty(monkeypatch):
    assert all(flag == flag.strip() and flag for flag in cpu_flags())

    def no_such_file(*_arguments, **_named):
        raise FileNotFoundError("/proc/cpuinfo")

    monkeypatch.setattr("builtins.open", no_such_file)
    assert cpu_flags() == set()
