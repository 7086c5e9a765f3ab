"""What README and docs say of the node, against the node."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = 64  # numbered as in the list of faults that the node and the files must survive


def test_every_fault_has_tests_that_exist():
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = {int(number): rest for number, rest in re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)}
    assert sorted(rows) == list(range(1, FAULTS + 1))
    for number, row in rows.items():
        assert "::test_" in row.rpartition("|")[2], f"fault {number} has no test"
    for file, test in re.findall(r"`([\w/]+\.py)::(test_\w+)`", text):
        assert re.search(rf"^def {test}\(", (ROOT / "test" / file).read_text("utf-8"), re.MULTILINE), (file, test)
    for script in re.findall(r"`(benchmarks/\w+\.py)`", text):
        assert (ROOT / script).is_file(), script


def test_the_readme_lists_exactly_the_topics():
    pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
    from tiae_ros.node.imitation import ROBOT_TOPIC
    from tiae_ros.node.inputs import Inputs
    from tiae_ros.node.outputs import TOPICS
    from tiae_ros.parameters import Settings

    rows = re.findall(r"^\| (in|out|service) (.*?) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    listed = {name for kind, cell in rows if kind == "out" for name in re.findall(r"`~/([\w/]+)`", cell)}
    assert listed == set(TOPICS)
    subscribed = []

    def subscribe(kind, topic, *_, **__):
        subscribed.append(topic)
        return SimpleNamespace(topic_name=topic)

    inputs = Inputs(SimpleNamespace(create_subscription=subscribe), None, None, None)
    for transport in ("raw", "compressed"):
        inputs.open(Settings(image_transport=transport, mask_source="topics"))
    named = {name for kind, cell in rows if kind == "in" for name in re.findall(r"`([\w/]+)`", cell)}
    assert named == {*subscribed, ROBOT_TOPIC}
