"""What README and docs say of the node, against the node."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


FAULTS = 29  # numbered as in the list of faults that the node and the files must survive


def test_every_fault_has_a_row_with_tests_that_exist():
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = {int(number): rest for number, rest in re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)}
    assert sorted(rows) == list(range(1, FAULTS + 1))
    for number, row in rows.items():
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row.rpartition("|")[2])
        assert named, f"fault {number} has no test"
        for file, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / "test" / file).read_text("utf-8"), re.MULTILINE), (file, test)
    for script in re.findall(r"`(benchmarks/\w+\.py)`", text):
        assert (ROOT / script).is_file(), script


def test_the_node_commands_no_joints():
    """Fault 25: what publishes joint targets has to bring their limits, their rate limit and their staleness guard."""
    pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
    from tiae_ros.node.node import OUTPUTS

    kinds = {kind.__name__ for kind in OUTPUTS.values()}
    assert not kinds & {"JointState", "JointTrajectory", "Float64MultiArray"}
    assert not any("joint" in name for name in OUTPUTS)


def test_the_readme_lists_exactly_the_topics_of_the_node():
    pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
    from tiae_ros.node.node import OUTPUTS

    rows = re.findall(r"^\| (in|out|service) (.*?) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    listed = {name for kind, cell in rows if kind == "out" for name in re.findall(r"`~/([\w/]+)`", cell)}
    assert listed == set(OUTPUTS)
    inputs = {name for kind, cell in rows if kind == "in" for name in re.findall(r"`([\w/]+)`", cell)}
    source = (ROOT / "tiae_ros" / "node" / "lifecycle_node.py").read_text("utf-8")
    assert inputs == {
        *re.findall(r'"((?:color|depth)/[a-z_]+|(?:hand|object)_mask)", (?:Image|CameraInfo|kind)', source),
        "color/image",
        "depth/image",
        "color/image/compressed",
        "depth/image/compressedDepth",
    }
