"""What README and docs say of the node, against the node."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_tests_named_in_reliability_exist():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text("utf-8"))
    assert len(named) > 30
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / "test" / file).read_text("utf-8"), re.MULTILINE), (file, test)


def test_the_readme_lists_exactly_the_topics_of_the_node():
    pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
    from tiae_ros.node.lifecycle_node import OUTPUTS

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
