"""The SROS 2 policy against the running node: every topic and service it uses is allowed, and nothing else is."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from ros_processes import node_process

pytestmark = pytest.mark.timeout(90)

POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2_policy.xml"
# A distribution's own services, which others do not have.
NOT_EVERYWHERE = {"~/get_type_description"}


def allowed() -> dict[str, set[str]]:
    """What the policy allows, by kind: publish, subscribe, reply, request."""
    found: dict[str, set[str]] = {kind: set() for kind in ("publish", "subscribe", "reply", "request")}
    for rules in ElementTree.parse(POLICY).getroot().find("enclaves/enclave/profiles/profile"):
        for kind, qualifier in rules.attrib.items():
            assert qualifier == "ALLOW"
            found[kind] |= {rule.text for rule in rules}
    return found


def used(client, node: str) -> dict[str, set[str]]:
    """What the node has in the graph now, named as in a policy."""
    namespace, _, name = node.rpartition("/")
    readers = {
        "publish": client.node.get_publisher_names_and_types_by_node,
        "subscribe": client.node.get_subscriber_names_and_types_by_node,
        "reply": client.node.get_service_names_and_types_by_node,
        "request": client.node.get_client_names_and_types_by_node,
    }

    def in_policy(topic: str) -> str:
        if topic.startswith(f"{node}/"):
            return "~" + topic[len(node) :]
        return topic.removeprefix(f"{namespace}/") if topic.startswith(f"{namespace}/") else topic

    return {kind: {in_policy(topic) for topic, _ in read(name, namespace)} for kind, read in readers.items()}


def test_the_policy_allows_exactly_what_is_used(tmp_path, client, shipped_models):
    node = "/secured/tiae"
    pytest.importorskip("onnx", reason="small models are made with onnx, which is not installed")
    from made_hand_pose import make_hand_pose

    follows = {"robot_hand": "shadow", "hand_pose_model": str(make_hand_pose(tmp_path / "linear", "grasp"))}
    follows["imitation_trajectory"] = True
    parameters = {**shipped_models, **follows, "autostart": False, "use_sim_time": True}
    seen: dict[str, set[str]] = {kind: set() for kind in allowed()}
    with node_process(tmp_path, parameters, arguments=["-r", "__ns:=/secured"], wait_for=""):
        for transport, masks in (("raw", "topics"), ("compressed", "segmentation")):
            assert client.set_parameter("image_transport", transport, node)[0]
            assert client.set_parameter("mask_source", masks, node)[0]
            for transition in ("configure", "activate"):
                assert client.change_state(transition, node)
            expected = "color/image" if transport == "raw" else "color/image/compressed"
            client.spin_until(
                lambda: {expected, "color/camera_info"} <= used(client, node)["subscribe"],  # noqa: B023
                what="the node's subscriptions in the graph",
            )
            client.spin(0.5)
            for kind, names in used(client, node).items():
                seen[kind] |= names
            for transition in ("deactivate", "cleanup"):
                assert client.change_state(transition, node)
    seen["reply"] |= NOT_EVERYWHERE & allowed()["reply"]
    # The node's clock listens to /clock, and to changes of use_sim_time, only where the distribution has it so.
    optional = {"/parameter_events"}
    for kind, names in allowed().items():
        assert seen[kind] - names == set(), f"the node uses these, the policy lacks them ({kind})"
        assert names - seen[kind] - optional == set(), f"the policy allows these, the node does not use them ({kind})"


def test_the_policy_is_of_the_schema_of_sros2():
    """Elements and attributes as in sros2's policy.xsd, version 0.2.0."""
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    inside = {"policy": {"enclaves"}, "enclaves": {"enclave"}, "enclave": {"profiles"}, "profiles": {"profile"},
              "profile": {"topics", "services"}, "topics": {"topic"}, "services": {"service"}}  # fmt: skip
    attributes = {"enclave": {"path"}, "profile": {"ns", "node"}, "topics": {"publish", "subscribe"},
                  "services": {"reply", "request"}}  # fmt: skip
    for element in root.iter():
        assert {child.tag for child in element} <= inside.get(element.tag, set())
        assert len(element) or element.text
        if element is not root:
            assert set(element.attrib) <= attributes.get(element.tag, set())
