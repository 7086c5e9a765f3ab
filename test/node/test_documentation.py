"""What README and docs say of the node, against the node."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = 64  # numbered as in the list of faults that the node and the files must survive


def test_every_fault_has_tests_that_exist():
    pages = [*(ROOT / "docs" / "reference").glob("faults*.md"), ROOT / "docs" / "reference" / "security.md"]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    rows = [int(number) for number in re.findall(r"^\| (\d+) \| .* \| .* \|$", text, re.MULTILINE)]
    tests = re.findall(r"^- \*\*(\d+)\*\*: (.*)$", text, re.MULTILINE)
    assert sorted(rows) == sorted(int(number) for number, _ in tests) == list(range(1, FAULTS + 1))
    for number, named in tests:
        assert "::test_" in named, f"fault {number} has no test"
    for file, test in re.findall(r"`([\w/]+\.py)::(test_\w+)`", text):
        assert re.search(rf"^def {test}\(", (ROOT / "test" / file).read_text("utf-8"), re.MULTILINE), (file, test)
    for script in re.findall(r"`(benchmarks/\w+\.py)`", text):
        assert (ROOT / script).is_file(), script


def test_the_pages_list_the_topics():
    pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
    from tiae_ros.node.imitation import ROBOT_TOPIC
    from tiae_ros.node.inputs import Inputs
    from tiae_ros.node.outputs import TOPICS
    from tiae_ros.parameters import Settings

    page = (ROOT / "docs" / "reference" / "topics.md").read_text("utf-8")
    rows = re.findall(r"^\| (in|out|service) (.*?) \|", page, re.MULTILINE)
    listed = {name for kind, cell in rows if kind == "out" for name in re.findall(r"`~/([\w/]+)`", cell)}
    assert listed == set(TOPICS)
    readme = set(re.findall(r"`/tiae/([\w/]+)`", (ROOT / "README.md").read_text("utf-8")))
    assert readme
    assert readme <= set(TOPICS)
    subscribed = []

    def subscribe(kind, topic, *_, **__):
        subscribed.append(topic)
        return SimpleNamespace(topic_name=topic)

    inputs = Inputs(SimpleNamespace(create_subscription=subscribe), None, None, None)
    for transport in ("raw", "compressed"):
        inputs.open(Settings(image_transport=transport, mask_source="topics"))
    named = {name for kind, cell in rows if kind == "in" for name in re.findall(r"`([\w/]+)`", cell)}
    assert named == {*subscribed, ROBOT_TOPIC}


NOTEBOOK_OF = {
    "hands": "2026-12-rolls",
    "grasp": "2026-11-grasps-in-rooms",
    "depth": "2026-11-hands",
}  # model -> where it was measured


def test_figures_of_the_limits_are_those_of_the_notebook():
    limits = (ROOT / "docs" / "explanation" / "limits.md").read_text("utf-8")
    rows = re.findall(r"^\| (?:hands|grasp|depth) \| .* \|$", limits, re.MULTILINE)
    assert len(rows) > 5
    pages = {name: (ROOT / "docs" / "notebook" / f"{name}.md").read_text("utf-8") for name in NOTEBOOK_OF.values()}
    assert [row for row in rows if f"\n{row}" not in pages[NOTEBOOK_OF[row.split()[1]]]] == []
