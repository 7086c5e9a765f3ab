"""The view for rviz2 and the layout for Foxglove: they show what the node publishes, and all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from tiae_ros.node.outputs import TOPICS

CONFIG = Path(__file__).resolve().parents[2] / "config"
NODE = "/camera/tiae/"  # of demo.launch.py
# Topics without a picture: numbers for programs. Foxglove draws the shift.
NUMBERS = {"descriptor", "grasp_label", "shift", "hand_joints", "joint_targets", "joint_trajectory", "imitation_state"}
# What a display of each class takes.
RVIZ_KINDS = {"Image": "Image", "DepthCloud": "Image", "PointStamped": "PointStamped", "PointCloud2": "PointCloud2"}


def strings(value: Any) -> list[str]:
    """All strings in a nest of dicts and lists, keys too."""
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def topics(value: Any) -> set[str]:
    """The node's topics that are named there; a plot's path may go on with the field."""
    found = {text for text in strings(value) if text.startswith("/")}
    assert all(text.startswith(NODE) or text == "/diagnostics" for text in found)
    return {re.sub(r"\..*", "", text[len(NODE) :]) for text in found if text.startswith(NODE)}


def test_rviz_shows_the_nodes_topics_by_type():
    view = yaml.safe_load((CONFIG / "view.rviz").read_text("utf-8"))["Visualization Manager"]
    shown = topics(view["Displays"])
    assert shown <= set(TOPICS)
    # rviz2 finds restored/camera_info beside restored/depth by itself.
    assert shown == set(TOPICS) - NUMBERS - {"restored/camera_info"}
    for display in view["Displays"]:
        (topic,) = topics(display)
        assert RVIZ_KINDS[display["Class"].partition("/")[2]] == TOPICS[topic].__name__
    assert view["Global Options"]["Fixed Frame"] == "camera_color_optical_frame"


def test_foxglove_shows_topics_of_the_node():
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text("utf-8"))
    panels = layout["configById"]
    assert topics(panels) <= set(TOPICS)
    assert {"debug_image", "restored/hand_mask", "restored/object_mask", "restored/depth", "grasps", "position",
            "shift"} <= topics(panels)  # fmt: skip
    assert "/diagnostics" in strings(panels)
    assert {name.partition("!")[0] for name in panels} == {"Image", "3D", "Plot", "DiagnosticSummary"}
    placed = [text for text in strings(layout["layout"]) if "!" in text]
    assert sorted(placed) == sorted(panels)
    for name, panel in panels.items():
        if name.startswith("Image!"):
            assert TOPICS[panel["imageMode"]["imageTopic"][len(NODE) :]].__name__ == "Image"


def test_foxglove_plots_fields_that_the_shift_has():
    panels = json.loads((CONFIG / "foxglove_layout.json").read_text("utf-8"))["configById"]
    for path in panels["Plot!shift"]["paths"]:
        name, *fields = path["value"][len(NODE) :].split(".")
        value: Any = TOPICS[name]()
        for field in fields:
            value = getattr(value, field)
        assert value == 0.0
